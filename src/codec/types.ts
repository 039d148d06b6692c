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
  topic: string;
  payload: Uint8Array;
  qos: QoS;
  retain: boolean;
}

/** A will to encode: `qos` is 0 and `retain` false where left out (section 3.1.2.5). */
export interface WillInit {
  topic: string;
  payload: Uint8Array | string;
  qos?: QoS | undefined;
  retain?: boolean | undefined;
}

/** One entry of a SUBSCRIBE (section 3.8.3). */
export interface SubscriptionRequest {
  topicFilter: string;
  /** The highest QoS at which the server may send. */
  qos: QoS;
}

/** The client asks for a session (section 3.1). */
export interface ConnectPacket {
  type: "connect";
  /** Empty only with `cleanSession` (MQTT-3.1.3-7). */
  clientId: string;
  /** Whether the session begins and ends with this connection (section 3.1.2.4). */
  cleanSession: boolean;
  /** Seconds, 0 to 65,535; 0 turns it off (section 3.1.2.10). */
  keepAlive: number;
  username?: string;
  /** Only with a user name (MQTT-3.1.2-22). A view of the packet's bytes. */
  password?: Uint8Array;
  will?: Will;
}

/** The server accepts or refuses (section 3.2). */
export interface ConnackPacket {
  type: "connack";
  sessionPresent: boolean;
  /** 0 accepted, 1 to 5 refused (section 3.2.2.3). */
  returnCode: number;
}

/** A message (section 3.3). */
export interface PublishPacket {
  type: "publish";
  topic: string;
  /** A view of the memory that the packet came in. */
  payload: Uint8Array;
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
  type: "puback" | "pubrec" | "pubrel" | "pubcomp" | "unsuback";
  packetId: number;
}

/** The client subscribes (section 3.8). */
export interface SubscribePacket {
  type: "subscribe";
  packetId: number;
  subscriptions: SubscriptionRequest[];
}

/** The server's answer to SUBSCRIBE (section 3.9). */
export interface SubackPacket {
  type: "suback";
  packetId: number;
  /** One a filter, in the order of the SUBSCRIBE: 0, 1, 2 granted, 0x80 refused. */
  returnCodes: number[];
}

/** The client takes subscriptions back (section 3.10). */
export interface UnsubscribePacket {
  type: "unsubscribe";
  packetId: number;
  topicFilters: string[];
}

/** The three packets without fields (sections 3.12 to 3.14). */
export interface EmptyPacket {
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
  type: "connect";
  clientId: string;
  cleanSession?: boolean | undefined;
  keepAlive?: number | undefined;
  username?: string | undefined;
  password?: Uint8Array | string | undefined;
  will?: WillInit | undefined;
}

/** PUBLISH to encode: `qos` is 0, `retain` and `dup` are false, the payload is empty where left out. */
export interface PublishInit {
  type: "publish";
  topic: string;
  payload?: Uint8Array | string | undefined;
  qos?: QoS | undefined;
  retain?: boolean | undefined;
  dup?: boolean | undefined;
  packetId?: number | undefined;
}

/** SUBSCRIBE to encode: a subscription's `qos` is 0 where left out. */
export interface SubscribeInit {
  type: "subscribe";
  packetId: number;
  subscriptions: readonly { topicFilter: string; qos?: QoS | undefined }[];
}

/** A packet to encode. */
export type PacketInit =
  | ConnectInit
  | { type: "connack"; sessionPresent?: boolean | undefined; returnCode: number }
  | PublishInit
  | AcknowledgementPacket
  | SubscribeInit
  | { type: "suback"; packetId: number; returnCodes: readonly number[] }
  | { type: "unsubscribe"; packetId: number; topicFilters: readonly string[] }
  | EmptyPacket;

/**
 * Where a `Decoder` delivers, one method a packet type, in plain arguments. A method that is left out means
 * that packets of that type are checked and then passed over. A method that throws ends the decoder: `push`
 * throws that error, now and at every later call.
 */
export interface PacketSink {
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
  puback?(packetId: number): void;
  pubrec?(packetId: number): void;
  pubrel?(packetId: number): void;
  pubcomp?(packetId: number): void;
  subscribe?(packetId: number, subscriptions: SubscriptionRequest[]): void;
  /** `returnCodes`: one a filter, 0, 1 or 2 granted, 0x80 refused. */
  suback?(packetId: number, returnCodes: number[]): void;
  unsubscribe?(packetId: number, topicFilters: string[]): void;
  unsuback?(packetId: number): void;
  pingreq?(): void;
  pingresp?(): void;
  disconnect?(): void;
}
