/**
 * The packet types of MQTT 3.1.1 in the standard's own terms.
 *
 * Invariant: `Packet` is what decoding makes, with every field filled in; `PacketInit` is what encoding
 * takes, where a field with an obvious default may be left out. Every `Packet` is a `PacketInit`.
 */

/** Quality of service: at most once, at least once, exactly once (section 4.3). */
export type QoS = 0 | 1 | 2;

/** The message that the server publishes when the connection ends without DISCONNECT (section 3.1.2.5). */
export interface Will {
  /** The topic that it is published to (section 3.1.3.2). */
  topic: string;
  /** Its message, 0 to 65,535 bytes (section 3.1.3.3). Decoded: a view of the packet's bytes. */
  payload: Uint8Array;
  /** The QoS at which the server publishes it (section 3.1.2.6). */
  qos: QoS;
  /** Whether the server publishes it as a retained message (section 3.1.2.7). */
  retain: boolean;
}

/** A will to encode: `qos` is 0 and `retain` false where left out (section 3.1.2.5). */
export interface WillInit {
  /** The topic that it is published to: no wildcard, 1 to 65,535 bytes of UTF-8. */
  topic: string;
  /** Its message, at most 65,535 bytes; text is sent as UTF-8. Read while encoding, not kept by the codec. */
  payload: Uint8Array | string;
  /** The QoS at which the server publishes it. Default 0. */
  qos?: QoS | undefined;
  /** Whether the server publishes it as a retained message. Default false. */
  retain?: boolean | undefined;
}

/** One entry of a SUBSCRIBE (section 3.8.3). */
export interface SubscriptionRequest {
  /** What is subscribed, wildcards included (section 4.7.1). */
  topicFilter: string;
  /** The highest QoS at which the server may send. */
  qos: QoS;
}

/** The client asks for a session (section 3.1). */
export interface ConnectPacket {
  /** CONNECT. */
  type: "connect";
  /** Empty only with `cleanSession` (MQTT-3.1.3-7). */
  clientId: string;
  /** Whether the session begins and ends with this connection (section 3.1.2.4). */
  cleanSession: boolean;
  /** Seconds, 0 to 65,535; 0 turns it off (section 3.1.2.10). */
  keepAlive: number;
  /** Absent where the user name flag is 0 (MQTT-3.1.2-18). */
  username?: string;
  /** Only with a user name (MQTT-3.1.2-22). A view of the packet's bytes. */
  password?: Uint8Array;
  /** Absent where the will flag is 0 (section 3.1.2.5). */
  will?: Will;
}

/** The server accepts or refuses (section 3.2). */
export interface ConnackPacket {
  /** CONNACK. */
  type: "connack";
  /** Whether the server kept a session of this client id (section 3.2.2.2). */
  sessionPresent: boolean;
  /** 0 accepted, 1 to 5 refused (section 3.2.2.3). */
  returnCode: number;
}

/** A message (section 3.3). */
export interface PublishPacket {
  /** PUBLISH. */
  type: "publish";
  /** The topic name (section 3.3.2.1). */
  topic: string;
  /** A view of the memory that the packet came in. */
  payload: Uint8Array;
  /** The QoS of this delivery (section 3.3.1.2). */
  qos: QoS;
  /** Asks the server to keep it for later subscribers; from a server: it was kept (section 3.3.1.3). */
  retain: boolean;
  /** It may have been sent before (section 3.3.1.1). */
  dup: boolean;
  /** Only with QoS 1 and 2; absent otherwise (MQTT-2.3.1-5). */
  packetId?: number;
}

/** The five packets that are a packet identifier and nothing else. */
export interface AcknowledgementPacket {
  /** Which of the five it is. */
  type: "puback" | "pubrec" | "pubrel" | "pubcomp" | "unsuback";
  /** That of the packet it answers, 1 to 65,535. */
  packetId: number;
}

/** The client subscribes (section 3.8). */
export interface SubscribePacket {
  /** SUBSCRIBE. */
  type: "subscribe";
  /** 1 to 65,535; SUBACK carries the same (MQTT-3.8.4-2). */
  packetId: number;
  /** At least one (MQTT-3.8.3-3), in the order of the packet. */
  subscriptions: SubscriptionRequest[];
}

/** The server's answer to SUBSCRIBE (section 3.9). */
export interface SubackPacket {
  /** SUBACK. */
  type: "suback";
  /** That of the SUBSCRIBE, 1 to 65,535. */
  packetId: number;
  /** One a filter, in the order of the SUBSCRIBE: 0, 1, 2 granted, 0x80 refused. */
  returnCodes: number[];
}

/** The client takes subscriptions back (section 3.10). */
export interface UnsubscribePacket {
  /** UNSUBSCRIBE. */
  type: "unsubscribe";
  /** 1 to 65,535; UNSUBACK carries the same (MQTT-3.10.4-4). */
  packetId: number;
  /** At least one (MQTT-3.10.3-2), in the order of the packet. */
  topicFilters: string[];
}

/** The three packets without fields (sections 3.12 to 3.14). */
export interface EmptyPacket {
  /** Which of the three it is. */
  type: "pingreq" | "pingresp" | "disconnect";
}

/** A decoded packet: a union on `type`, the packet's name in lower case. */
export type Packet =
  | ConnectPacket
  | ConnackPacket
  | PublishPacket
  | AcknowledgementPacket
  | SubscribePacket
  | SubackPacket
  | UnsubscribePacket
  | EmptyPacket;

/** The packet names, in lower case. */
export type PacketType = Packet["type"];

/** CONNECT to encode: `cleanSession` is true and `keepAlive` 60 where left out. */
export interface ConnectInit {
  /** CONNECT. */
  type: "connect";
  /** At most 65,535 bytes of UTF-8; empty only with `cleanSession` (MQTT-3.1.3-7). */
  clientId: string;
  /** Whether the session begins and ends with this connection (section 3.1.2.4). Default true. */
  cleanSession?: boolean | undefined;
  /** Seconds, 0 to 65,535; 0 turns it off (section 3.1.2.10). Default 60. */
  keepAlive?: number | undefined;
  /** At most 65,535 bytes of UTF-8 (section 3.1.3.4). Default: none. */
  username?: string | undefined;
  /** At most 65,535 bytes; text is sent as UTF-8. Only with a user name (MQTT-3.1.2-22). */
  password?: Uint8Array | string | undefined;
  /** What the server publishes when the connection ends without DISCONNECT. Default: nothing. */
  will?: WillInit | undefined;
}

/** PUBLISH to encode: `qos` is 0, `retain` and `dup` are false, the payload is empty where left out. */
export interface PublishInit {
  /** PUBLISH. */
  type: "publish";
  /** The topic name: no wildcard (MQTT-3.3.2-2), 1 to 65,535 bytes of UTF-8. */
  topic: string;
  /** Text is sent as UTF-8. Default: empty. */
  payload?: Uint8Array | string | undefined;
  /** The QoS of the delivery (section 3.3.1.2). Default 0. */
  qos?: QoS | undefined;
  /** Asks the server to keep it for later subscribers (section 3.3.1.3). Default false. */
  retain?: boolean | undefined;
  /** It may have been sent before; only with QoS 1 and 2 (MQTT-3.3.1-2). Default false. */
  dup?: boolean | undefined;
  /** 1 to 65,535, with QoS 1 and 2; with QoS 0 there is none (MQTT-2.3.1-5). */
  packetId?: number | undefined;
}

/** SUBSCRIBE to encode: a subscription's `qos` is 0 where left out. */
export interface SubscribeInit {
  /** SUBSCRIBE. */
  type: "subscribe";
  /** 1 to 65,535, of no other packet in flight (MQTT-2.3.1-2). */
  packetId: number;
  /** At least one (MQTT-3.8.3-3), in the order in which SUBACK answers. */
  subscriptions: readonly SubscriptionInit[];
}

/** One entry of a SUBSCRIBE to encode (section 3.8.3). */
export interface SubscriptionInit {
  /** What is subscribed, wildcards included (section 4.7.1): 1 to 65,535 bytes of UTF-8. */
  topicFilter: string;
  /** The highest QoS at which the server may send. Default 0. */
  qos?: QoS | undefined;
}

/** CONNACK to encode (section 3.2): `sessionPresent` is false where left out. */
export interface ConnackInit {
  /** CONNACK. */
  type: "connack";
  /** Whether the server kept a session; only with return code 0 (MQTT-3.2.2-4). Default false. */
  sessionPresent?: boolean | undefined;
  /** 0 accepted, 1 to 5 refused (section 3.2.2.3). */
  returnCode: number;
}

/** SUBACK to encode (section 3.9). */
export interface SubackInit {
  /** SUBACK. */
  type: "suback";
  /** That of the SUBSCRIBE, 1 to 65,535 (MQTT-3.8.4-2). */
  packetId: number;
  /** One a filter, in the order of the SUBSCRIBE: 0, 1, 2 granted, 0x80 refused (section 3.9.3). */
  returnCodes: readonly number[];
}

/** UNSUBSCRIBE to encode (section 3.10). */
export interface UnsubscribeInit {
  /** UNSUBSCRIBE. */
  type: "unsubscribe";
  /** 1 to 65,535, of no other packet in flight (MQTT-2.3.1-2). */
  packetId: number;
  /** At least one (MQTT-3.10.3-2), each as it was subscribed. */
  topicFilters: readonly string[];
}

/** A packet to encode. */
export type PacketInit =
  | ConnectInit
  | ConnackInit
  | PublishInit
  | AcknowledgementPacket
  | SubscribeInit
  | SubackInit
  | UnsubscribeInit
  | EmptyPacket;

/**
 * Where a `Decoder` delivers, one method a packet type, in plain arguments. A method that is left out means
 * that packets of that type are checked and then passed over. A method that throws ends the decoder: `push`
 * throws that error, now and at every later call.
 */
export interface PacketSink {
  /** A CONNECT (section 3.1). The packet is the receiver's; its password and will's payload are views. */
  connect?(packet: ConnectPacket): void;
  /** `returnCode`: 0 accepted, 1 to 5 refused (section 3.2.2.3). */
  connack?(sessionPresent: boolean, returnCode: number): void;
  /**
   * `bytes[start, end)` is the payload. `bytes` is the pushed chunk or, where the packet was split over
   * chunks, memory of the decoder's, in which small packets lie side by side: only what is in `[start, end)`
   * is this packet's payload, and the decoder never writes there again. That memory must not be transferred
   * to another thread: copy the payload first. `packetId` is 0 with QoS 0.
   */
  publish?(
    topic: string,
    bytes: Uint8Array,
    start: number,
    end: number,
    qos: QoS,
    retain: boolean,
    dup: boolean,
    packetId: number,
  ): void;
  /** A PUBACK (section 3.4); `packetId` is 1 to 65,535. */
  puback?(packetId: number): void;
  /** A PUBREC (section 3.5); `packetId` is 1 to 65,535. */
  pubrec?(packetId: number): void;
  /** A PUBREL (section 3.6); `packetId` is 1 to 65,535. */
  pubrel?(packetId: number): void;
  /** A PUBCOMP (section 3.7); `packetId` is 1 to 65,535. */
  pubcomp?(packetId: number): void;
  /** A SUBSCRIBE (section 3.8); at least one subscription, and the array is the receiver's. */
  subscribe?(packetId: number, subscriptions: SubscriptionRequest[]): void;
  /** `returnCodes`: one a filter, 0, 1 or 2 granted, 0x80 refused. */
  suback?(packetId: number, returnCodes: number[]): void;
  /** An UNSUBSCRIBE (section 3.10); at least one filter, and the array is the receiver's. */
  unsubscribe?(packetId: number, topicFilters: string[]): void;
  /** An UNSUBACK (section 3.11); `packetId` is 1 to 65,535. */
  unsuback?(packetId: number): void;
  /** A PINGREQ (section 3.12). */
  pingreq?(): void;
  /** A PINGRESP (section 3.13). */
  pingresp?(): void;
  /** A DISCONNECT (section 3.14). */
  disconnect?(): void;
}
