/**
 * What goes over the wire, Microsoft's SDK and ours side by side: each operation runs with both against a
 * recording peer, and every field of every packet must be the same but for the listed differences, which each
 * have a reason.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Packet } from "../../src/codec/index.js";
import { createSelfSigned } from "../../src/emulator/index.js";
import { DeviceClient } from "../../src/hub/index.js";
import { ABSENT, expectSame, type Difference } from "./support/compare.js";
import { startRecordingPeer, type RecordingPeer, type Script } from "./support/recording-peer.js";
import {
  Message,
  sdkDevice,
  sdkModule,
  sdkX509Device,
  type SdkDeviceClient,
  type SdkMessage,
  type SdkModuleClient,
  type SdkOptions,
} from "./support/sdk.js";

const KEY = "c2VjcmV0IGtleSBvZiBhIGRldmljZQ==";
const DEVICE = `HostName=localhost;DeviceId=d1;SharedAccessKey=${KEY}`;
const POLICY = `HostName=localhost;DeviceId=d1;SharedAccessKeyName=device;SharedAccessKey=${KEY}`;
const MODULE = `HostName=localhost;DeviceId=d1;ModuleId=m1;SharedAccessKey=${KEY}`;

let peer: RecordingPeer;
beforeAll(async () => {
  peer = await startRecordingPeer();
});
afterAll(() => peer.close());

type OurIdentity = Exclude<ConstructorParameters<typeof DeviceClient>[0], string>;
type OurOptions = NonNullable<ConstructorParameters<typeof DeviceClient>[1]>;

interface Operation<Client> {
  /** What the hub does in it. */
  script?: Script;
  sdk(client: Client): Promise<unknown>;
  ours(client: DeviceClient): Promise<unknown>;
  /** The packet to wait for before the client closes; without, the operation is over when its promise is. */
  last?: (packet: Packet) => boolean;
  /** The same where ours sends more. */
  ourLast?: (packet: Packet) => boolean;
  sdkOptions?: SdkOptions;
  ourIdentity?: Partial<OurIdentity>;
  ourOptions?: OurOptions;
}

const onDevice = (operation: Operation<SdkDeviceClient>, connectionString = DEVICE): Promise<Recordings> =>
  both(operation, connectionString, () => sdkDevice(connectionString, peer, operation.sdkOptions));

const onModule = (operation: Operation<SdkModuleClient>): Promise<Recordings> =>
  both(operation, MODULE, () => sdkModule(MODULE, peer, operation.sdkOptions));

interface Recordings {
  sdk: Packet[];
  ours: Packet[];
}

async function both<Client extends SdkDeviceClient | SdkModuleClient>(
  operation: Operation<Client>,
  connectionString: string,
  connect: () => Promise<Client>,
): Promise<Recordings> {
  const record = async (
    last: Operation<Client>["last"],
    run: (until: Promise<void>) => Promise<void>,
  ): Promise<Packet[]> => {
    let reached = (): void => {};
    const until = new Promise<void>((resolve) => (reached = resolve));
    if (last === undefined) reached();
    return peer.record(
      (packet, send) => {
        operation.script?.(packet, send);
        if (last?.(packet) === true) reached();
      },
      () => run(until),
    );
  };
  const sdk = await record(operation.last, async (until) => {
    const client = await connect();
    await client.open();
    await operation.sdk(client);
    await until;
    await client.close();
  });
  const ours = await record(operation.ourLast ?? operation.last, async (until) => {
    const client = hubwire(connectionString, operation);
    await client.connect();
    await operation.ours(client);
    await until;
    await client.close();
  });
  return { sdk, ours };
}

function hubwire(connectionString: string, { ourIdentity, ourOptions }: Partial<Operation<never>>): DeviceClient {
  const identity = ourIdentity === undefined ? connectionString : { ...parsed(connectionString), ...ourIdentity };
  const client = new DeviceClient(identity, {
    port: peer.port,
    tls: { ca: peer.caCertificate },
    reconnect: false,
    ...ourOptions,
  });
  client.on("error", (error) => {
    throw error;
  });
  return client;
}

function parsed(connectionString: string): OurIdentity {
  const part = (name: string): string => new RegExp(`${name}=([^;]*)`).exec(connectionString)?.[1] as string;
  return { hostName: part("HostName"), deviceId: part("DeviceId"), sharedAccessKey: part("SharedAccessKey") };
}

const done = async (): Promise<void> => {};

/** CONNECT is compared in tests of its own. */
function expectSameBehindConnect({ sdk, ours }: Recordings, listed: readonly Difference[] = []): void {
  expect([sdk[0]?.type, ours[0]?.type]).toEqual(["connect", "connect"]);
  expectSame(sdk.slice(1), ours.slice(1), KEY, listed);
}

const SDK_PRODUCT = expect.stringMatching(/^DeviceClientType=azure-iot-device%2F1\.18\.4%20\(/);

const KEEP_ALIVE: Difference = {
  field: "CONNECT: keep alive",
  sdk: 180,
  ours: 60,
  reason: "MqttClient's default: a lost connection is found three times as soon; at most 1177 for both",
};
const NO_PRODUCT: Difference[] = [
  {
    field: "CONNECT: user name in order",
    sdk: "api-version DeviceClientType",
    ours: "api-version",
    reason: "the SDK always tells its name, version and platform; we tell the user's productInfo, or nothing",
  },
  { field: "CONNECT: user name DeviceClientType", sdk: SDK_PRODUCT, ours: ABSENT, reason: "see above" },
];

describe("CONNECT and DISCONNECT", () => {
  it("of a device with its own key", async () => {
    const { sdk, ours } = await onDevice({ sdk: done, ours: done });
    expectSame(sdk, ours, KEY, [KEEP_ALIVE, ...NO_PRODUCT]);
  });

  it("of a device with a policy's key", async () => {
    const { sdk, ours } = await onDevice({ sdk: done, ours: done }, POLICY);
    expectSame(sdk, ours, KEY, [
      KEEP_ALIVE,
      ...NO_PRODUCT,
      {
        field: "CONNECT: password fields in order",
        sdk: "sr sig skn se",
        ours: "sr sig se skn",
        reason: "the hub takes any order; ours is that of Microsoft's documentation",
      },
    ]);
  });

  it("of a module", async () => {
    const { sdk, ours } = await onModule({ sdk: done, ours: done });
    expectSame(sdk, ours, KEY, [KEEP_ALIVE, ...NO_PRODUCT]);
  });

  it("through a gateway: the hub's own name in the user name and token", async () => {
    const gateway = `${DEVICE.replace("localhost", "hub.azure-devices.net")};GatewayHostName=localhost`;
    const { sdk, ours } = await onDevice({ sdk: done, ours: done }, gateway);
    expect(ours[0]).toMatchObject({ username: "hub.azure-devices.net/d1/?api-version=2021-04-12" });
    expectSame(sdk, ours, KEY, [KEEP_ALIVE, ...NO_PRODUCT]);
  });

  it("of a device with an X.509 certificate: no password", async () => {
    const { certificate: cert, key } = createSelfSigned({ commonName: "d1", client: true });
    const operation: Operation<SdkDeviceClient> = {
      sdk: done,
      ours: done,
      ourOptions: { tls: { ca: peer.caCertificate, cert, key } },
    };
    const { sdk, ours } = await both(operation, "HostName=localhost;DeviceId=d1;x509=true", () =>
      sdkX509Device({ hostName: "localhost", deviceId: "d1", cert, key }, peer),
    );
    expectSame(sdk, ours, KEY, [KEEP_ALIVE, ...NO_PRODUCT]);
    for (const [connect] of [sdk, ours]) expect(connect).not.toHaveProperty("password");
  });

  it("with a DTDL model and product information", async () => {
    const { sdk, ours } = await onDevice({
      sdk: done,
      ours: done,
      sdkOptions: { modelId: "dtmi:com:example:Thermostat;1", productInfo: " my product/1.0" },
      ourIdentity: { modelId: "dtmi:com:example:Thermostat;1", productInfo: "my product/1.0" },
    });
    expectSame(sdk, ours, KEY, [
      KEEP_ALIVE,
      {
        field: "CONNECT: user name model-id",
        sdk: "model-id=dtmi:com:example:Thermostat;1",
        ours: "model-id=dtmi%3Acom%3Aexample%3AThermostat%3B1",
        reason: "IoT Hub wants the value percent-encoded, and only the SDK for Node leaves that out",
      },
      {
        field: "CONNECT: user name DeviceClientType",
        sdk: expect.stringMatching(/^DeviceClientType=azure-iot-device.*my%20product%2F1\.0$/),
        ours: "DeviceClientType=my%20product%2F1.0",
        reason: "the SDK puts its own name, version and platform before what the user gives",
      },
    ]);
  });

  it("with the SDK's own keep alive and product asked for", async () => {
    const { sdk, ours } = await onDevice({
      sdk: done,
      ours: done,
      ourIdentity: { productInfo: "azure-iot-device/1.18.4" },
      ourOptions: { keepAlive: 180 },
    });
    expectSame(sdk, ours, KEY, [
      {
        field: "CONNECT: user name DeviceClientType",
        sdk: SDK_PRODUCT,
        ours: "DeviceClientType=azure-iot-device%2F1.18.4",
        reason: "the SDK's goes on with the platform it runs on",
      },
    ]);
  });

  it("with a will, which the SDK cannot set", async () => {
    const { sdk, ours } = await onDevice({
      sdk: done,
      ours: done,
      ourOptions: { will: { payload: "gone", properties: { why: "power" }, qos: 1 } },
    });
    expectSame(sdk, ours, KEY, [
      KEEP_ALIVE,
      ...NO_PRODUCT,
      {
        field: "CONNECT: will",
        sdk: ABSENT,
        ours: 'devices/d1/messages/events/why=power qos 1 retain false: "gone"',
        reason: "IoT Hub takes wills; the SDK has no way to set one",
      },
    ]);
  });
});

describe("telemetry", () => {
  it("without properties", async () => {
    const recordings = await onDevice({
      sdk: (client) => client.sendEvent(new Message('{"t":21.5}')),
      ours: (client) => client.sendTelemetry('{"t":21.5}'),
    });
    expectSameBehindConnect(recordings);
  });

  it("of no bytes", async () => {
    const recordings = await onDevice({
      sdk: (client) => client.sendEvent(new Message(Buffer.alloc(0))),
      ours: (client) => client.sendTelemetry(new Uint8Array(0)),
    });
    expectSameBehindConnect(recordings);
  });

  it("of bytes that are no text", async () => {
    const bytes = Buffer.from([0, 255, 128, 10]);
    const recordings = await onDevice({
      sdk: (client) => client.sendEvent(new Message(bytes)),
      ours: (client) => client.sendTelemetry(bytes),
    });
    expectSameBehindConnect(recordings);
  });

  it("with every system property, and properties of every kind", async () => {
    const recordings = await onDevice({
      sdk: (client) => {
        const message = new Message("x");
        message.messageId = "m#1";
        message.correlationId = "c/2";
        message.userId = "ü&=";
        message.to = "to";
        message.expiryTimeUtc = new Date(Date.UTC(2030, 0, 2, 3, 4, 5, 678)) as never;
        message.contentType = "application/json" as never;
        message.contentEncoding = "utf-8" as never;
        message.setAsSecurityMessage();
        message.properties.add("a", "b c");
        message.properties.add("&=/#+%", "ü€😀");
        message.properties.add("empty", "");
        message.properties.add("(!)", "it's *");
        message.properties.add("dt-subject", "component");
        return client.sendEvent(message);
      },
      ours: (client) =>
        client.sendTelemetry("x", {
          messageId: "m#1",
          correlationId: "c/2",
          userId: "ü&=",
          to: "to",
          expiry: new Date(Date.UTC(2030, 0, 2, 3, 4, 5, 678)),
          contentType: "application/json",
          contentEncoding: "utf-8",
          interfaceId: "urn:azureiot:Security:SecurityAgent:1",
          subject: "component",
          properties: { a: "b c", "&=/#+%": "ü€😀", empty: "", "(!)": "it's *" },
        }),
    });
    const telemetry = "PUBLISH devices/d1/messages/events/: bag";
    expectSameBehindConnect(recordings, [
      {
        field: `${telemetry} in order`,
        sdk: "$.mid $.cid $.uid $.to $.ct $.ce $.ifid $.exp a &=/#+% empty (!) $.sub",
        ours: "$.mid $.cid $.uid $.to $.exp $.ct $.ce $.sub $.ifid a &=/#+% empty (!)",
        reason: "the order says nothing; to the SDK the subject is a property like others, here a system property",
      },
      {
        field: `${telemetry} (!)`,
        sdk: "(!)=it's%20*",
        ours: "%28%21%29=it%27s%20%2A",
        reason: "the SDK leaves !'()* unescaped; the hub wants all but RFC 3986's unreserved characters escaped",
      },
    ]);
  });

  it("several at once: the same packets in the same order", async () => {
    const bodies = ["one", "two", "three"];
    const recordings = await onDevice({
      sdk: (client) => Promise.all(bodies.map((body) => client.sendEvent(new Message(body)))),
      ours: (client) => Promise.all(bodies.map((body) => client.sendTelemetry(body))),
    });
    expectSameBehindConnect(recordings);
  });
});

describe("cloud to device", () => {
  it("SUBSCRIBE, and PUBACK for what comes, a repeated one too", async () => {
    const bag = "%24.mid=c1&%24.to=%2Fdevices%2Fd1&unit=C";
    const topic = `devices/d1/messages/devicebound/${bag}`;
    const seen: Record<string, string[]> = { sdk: [], ours: [] };
    const recordings = await onDevice({
      script: (packet, send) => {
        if (packet.type !== "subscribe") return;
        send({ type: "publish", topic, payload: "first", qos: 1, packetId: 77 });
        send({ type: "publish", topic, payload: "second", qos: 1, packetId: 78, dup: true });
        send({ type: "publish", topic, payload: "third", qos: 0 });
      },
      sdk: (client) =>
        new Promise<void>((resolve) => {
          client.on("message", (message: SdkMessage) => {
            seen["sdk"]?.push(`${message.messageId} ${message.data} ${message.properties.getValue("unit")}`);
            if (seen["sdk"]?.length === 3) resolve();
          });
        }),
      ours: (client) =>
        new Promise<void>((resolve, reject) => {
          const granted = client.messages(({ messageId, payload, properties }) => {
            seen["ours"]?.push(`${messageId} ${Buffer.from(payload).toString()} ${properties.get("unit")}`);
            if (seen["ours"]?.length === 3) resolve();
          });
          granted.catch(reject);
        }),
      last: (packet) => packet.type === "puback" && packet.packetId === 78,
    });
    expect(seen["ours"]).toEqual(["c1 first C", "c1 second C", "c1 third C"]);
    expect(seen["sdk"]).toEqual(seen["ours"]);
    expectSameBehindConnect(recordings);
  });
});

describe("direct methods", () => {
  const call =
    (payload: string): Script =>
    (packet, send) => {
      if (packet.type !== "subscribe") return;
      send({ type: "publish", topic: "$iothub/methods/POST/reboot/?$rid=hub-1", payload });
    };
  const last = (packet: Packet): boolean => packet.type === "publish";

  it("SUBSCRIBE, and a response with a body", async () => {
    const recordings = await onDevice({
      script: call('{"delay":5}'),
      sdk: async (client) => {
        client.onDeviceMethod("reboot", (request, response) => void response.send(207, { was: request.payload }));
      },
      ours: (client) => client.onMethod("reboot", ({ payload }) => ({ status: 207, payload: { was: payload } })),
      last,
    });
    expectSameBehindConnect(recordings);
  });

  it("a response without a body", async () => {
    const recordings = await onDevice({
      script: call("null"),
      sdk: async (client) => {
        client.onDeviceMethod("reboot", (_request, response) => void response.send(200, null));
      },
      ours: (client) => client.onMethod("reboot", () => ({ status: 200, payload: null })),
      last,
    });
    expectSameBehindConnect(recordings);
  });

  it("a request that is not JSON", async () => {
    const recordings = await onDevice({
      script: call("{not json"),
      sdk: async (client) => {
        client.onDeviceMethod("reboot", (_request, response) => void response.send(200, null));
      },
      ours: (client) => client.onMethod("reboot", () => ({ status: 200 })),
      last,
    });
    expectSameBehindConnect(recordings, [
      {
        field: "PUBLISH $iothub/methods/res/400/: payload",
        sdk: expect.stringMatching(/Invalid request format/),
        ours: '"null"',
        reason: "a response tells the caller nothing about our inside, such as the parser's words",
      },
    ]);
  });
});

describe("twin", () => {
  /** The hub's answers to twin requests. */
  const answer: Script = (packet, send) => {
    if (packet.type !== "publish") return;
    const rid = /\?\$rid=([^&]+)/.exec(packet.topic)?.[1];
    if (packet.topic.startsWith("$iothub/twin/GET/")) {
      const payload = '{"desired":{"setPoint":19,"$version":4},"reported":{"$version":1}}';
      send({ type: "publish", topic: `$iothub/twin/res/200/?$rid=${rid}`, payload });
    }
    if (packet.topic.startsWith("$iothub/twin/PATCH/properties/reported/")) {
      send({ type: "publish", topic: `$iothub/twin/res/204/?$rid=${rid}&$version=2`, payload: "" });
    }
  };
  const EMPTY_GET: Difference = {
    field: "PUBLISH $iothub/twin/GET/: payload",
    sdk: '" "',
    ours: '""',
    reason: "the documented request has an empty body; the SDK sends a space",
  };

  it("get", async () => {
    const recordings = await onDevice({
      script: answer,
      sdk: async (client) => {
        const { properties } = await client.getTwin();
        expect(properties.desired).toMatchObject({ setPoint: 19 });
      },
      ours: async (client) => {
        const { desired } = await client.getTwin();
        expect(desired).toEqual({ setPoint: 19, $version: 4 });
      },
    });
    expectSameBehindConnect(recordings, [EMPTY_GET]);
  });

  it("a patch of reported properties, after a get as the SDK needs it", async () => {
    const patch = { firmware: "1.2", gone: null, nested: { ü: [1, 2] } };
    const recordings = await onDevice({
      script: answer,
      sdk: async (client) => {
        const { properties } = await client.getTwin();
        await new Promise<void>((resolve, reject) => {
          properties.reported["update"](patch, (error?: Error) => (error ? reject(error) : resolve()));
        });
      },
      ours: async (client) => {
        await client.getTwin();
        expect(await client.updateReportedProperties(patch)).toEqual({ version: 2 });
      },
    });
    expectSameBehindConnect(recordings, [EMPTY_GET]);
  });

  it("desired properties: SUBSCRIBE, and the change arrives", async () => {
    const seen: Record<string, unknown> = {};
    let gets = 0;
    const script: Script = (packet, send) => {
      answer(packet, send);
      if (packet.type !== "subscribe" || !packet.subscriptions[0]?.topicFilter.includes("/desired/")) return;
      const topic = "$iothub/twin/PATCH/properties/desired/?$version=5";
      send({ type: "publish", topic, payload: '{"fan":"on","$version":5}' });
    };
    const recordings = await onDevice({
      script,
      sdk: async (client) => {
        const twin = await client.getTwin();
        await new Promise<void>((resolve) => {
          twin.on("properties.desired.fan", (fan) => {
            seen["sdk"] = fan;
            resolve();
          });
        });
      },
      ours: async (client) => {
        await client.getTwin();
        await new Promise<void>((resolve) => {
          void client.onDesiredProperties((patch) => {
            seen["ours"] = patch["fan"];
            resolve();
          });
        });
      },
      ourLast: (packet) => packet.type === "publish" && ++gets === 2,
    });
    expect(seen).toEqual({ sdk: "on", ours: "on" });
    const [read, listen] = [
      "SUBSCRIBE $iothub/twin/res/#, PUBLISH $iothub/twin/GET/",
      "SUBSCRIBE $iothub/twin/PATCH/properties/desired/#",
    ];
    const reason = "a change between the read and the subscription would be missed: we read again once subscribed";
    expectSameBehindConnect(recordings, [
      EMPTY_GET,
      {
        field: "PUBLISH $iothub/twin/GET/ again",
        sdk: ABSENT,
        ours:
          'qos 0; retain false; dup false; packet id none; payload ""; query mark true; ' +
          "bag in order $rid; bag $rid $rid={rid}",
        reason,
      },
      {
        field: "recording: order of packets",
        sdk: `${read}, ${listen}, DISCONNECT`,
        ours: `${read}, ${listen}, PUBLISH $iothub/twin/GET/ again, DISCONNECT`,
        reason,
      },
    ]);
  });
});

describe("modules", () => {
  it("telemetry to an output", async () => {
    const recordings = await onModule({
      sdk: async (client) => {
        const message = new Message("x");
        message.messageId = "1";
        message.properties.add("level", "high");
        await client.sendOutputEvent("alerts", message);
        await client.sendOutputEvent("bare", new Message("y"));
        await client.sendEvent(new Message("z"));
      },
      ours: async (client) => {
        await client.sendToOutput("alerts", "x", { messageId: "1", properties: { level: "high" } });
        await client.sendToOutput("bare", "y");
        await client.sendTelemetry("z");
      },
    });
    const telemetry = "PUBLISH devices/d1/modules/m1/messages/events/";
    const slash = "the SDK puts a slash behind the bag, which becomes part of its last value";
    expectSameBehindConnect(recordings, [
      {
        field: `${telemetry}: bag in order`,
        sdk: "$.on $.mid level",
        ours: "$.mid $.on level",
        reason: "the order says nothing",
      },
      { field: `${telemetry}: bag level`, sdk: "level=high/", ours: "level=high", reason: slash },
      { field: `${telemetry} again: bag $.on`, sdk: "%24.on=bare/", ours: "%24.on=bare", reason: slash },
    ]);
  });

  it("messages to an input: SUBSCRIBE and PUBACK", async () => {
    const seen: Record<string, string> = {};
    const recordings = await onModule({
      script: (packet, send) => {
        if (packet.type !== "subscribe") return;
        const topic = "devices/d1/modules/m1/inputs/sensor/%24.cdid=d1&%24.cmid=m2&unit=C";
        send({ type: "publish", topic, payload: "21", qos: 1, packetId: 9 });
      },
      sdk: (client) =>
        new Promise<void>((resolve) => {
          client.on("inputMessage", (input: string, message: SdkMessage) => {
            seen["sdk"] = `${input} ${message.data} ${message.properties.getValue("unit")}`;
            resolve();
          });
        }),
      ours: (client) =>
        client.onInput("sensor", ({ inputName, payload, properties }) => {
          seen["ours"] = `${inputName} ${Buffer.from(payload).toString()} ${properties.get("unit")}`;
        }),
      last: (packet) => packet.type === "puback",
    });
    expect(seen).toEqual({ sdk: "sensor 21 C", ours: "sensor 21 C" });
    expectSameBehindConnect(recordings);
  });

  it("twin and methods are those of a device", async () => {
    const recordings = await onModule({
      script: (packet, send) => {
        if (packet.type === "subscribe" && packet.subscriptions[0]?.topicFilter.includes("/methods/")) {
          send({ type: "publish", topic: "$iothub/methods/POST/ping/?$rid=hub-7", payload: "{}" });
        }
        if (packet.type === "publish" && packet.topic.includes("/GET/")) {
          const topic = `$iothub/twin/res/200/${packet.topic.slice(packet.topic.indexOf("?"))}`;
          send({ type: "publish", topic, payload: '{"desired":{"$version":1},"reported":{"$version":1}}' });
        }
      },
      sdk: async (client) => {
        await client.getTwin();
        client.onMethod("ping", (_request, response) => void response?.send(200, "pong"));
      },
      ours: async (client) => {
        await client.getTwin();
        await client.onMethod("ping", () => ({ status: 200, payload: "pong" }));
      },
      last: (packet) => packet.type === "publish" && packet.topic.startsWith("$iothub/methods/res/"),
    });
    expectSameBehindConnect(recordings, [
      { field: "PUBLISH $iothub/twin/GET/: payload", sdk: '" "', ours: '""', reason: "as for a device" },
    ]);
  });
});

describe("the comparison itself", () => {
  const publish = (topic: string): Packet => ({
    type: "publish",
    topic,
    payload: Buffer.from("x"),
    qos: 0,
    retain: false,
    dup: false,
  });

  it("fails on a difference that is not listed", () => {
    expect(() => expectSame([publish("a/?$rid=1")], [publish("a/?$rid=2")], KEY, [])).not.toThrow();
    expect(() => expectSame([publish("a/?$rid=1")], [publish("a/?$rid=")], KEY, [])).toThrow();
    expect(() => expectSame([publish("a")], [{ ...publish("a"), retain: true } as Packet], KEY, [])).toThrow();
    expect(() => expectSame([publish("a")], [publish("a"), publish("b")], KEY, [])).toThrow();
    expect(() => expectSame([publish("a"), publish("b")], [publish("b"), publish("a")], KEY, [])).toThrow();
  });

  it("fails on a listed difference that does not occur", () => {
    const listed = { field: "PUBLISH a: retain", sdk: false, ours: true, reason: "an example" };
    expect(() =>
      expectSame([publish("a")], [{ ...publish("a"), retain: true } as Packet], KEY, [listed]),
    ).not.toThrow();
    expect(() => expectSame([publish("a")], [publish("a")], KEY, [listed])).toThrow();
  });
});
