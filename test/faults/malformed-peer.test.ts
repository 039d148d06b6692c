/**
 * A server that sends what it must not: the connection is closed there and then, with an error that says why,
 * and nothing that follows is delivered or answered (MQTT-4.8.0-1).
 *
 * No timer could close it: there is no keep alive, and no call waits. So a packet that goes unnoticed is
 * found by the message behind it, which would be delivered and acknowledged.
 */
import { expect, test } from "vitest";
import { type HubwireError, MqttClient } from "../../src/client/index.js";
import { oracle } from "../codec/oracle.mjs";
import { bytes, Peer, soon, utf8 } from "../support/peer.js";

/** Bodies that make some packet of each type well-formed, and some not. */
const bodies = [
  "",
  "00",
  "01",
  "0000",
  "0001",
  "ffff",
  "000000",
  "000100",
  "000103",
  "000180",
  "0001 61",
  `${utf8("t")} 0000`,
  `${utf8("t")} 0001`,
  `${utf8("a/+")} 0001`,
  `${utf8("#")} 0001`,
  `${utf8("")} 0001`,
  "0001 00 0001",
  "0002 c3 0001",
  "0003 eda080 0001",
  "0005 61 0001",
  "0001 0001 61 00",
  "0001 0001 61 03",
];

/** Well-formed, but not the server's to send: then or at all. */
const misplaced: Record<string, string> = {
  CONNECT: "10 0d 0004 4d515454 04 02 0000 0001 61",
  "a second CONNACK": "20 02 00 00",
  SUBSCRIBE: "82 06 0001 0001 61 00",
  UNSUBSCRIBE: "a2 05 0001 0001 61",
  PINGREQ: "c0 00",
  DISCONNECT: "e0 00",
};

const hex = (byte: number): string => byte.toString(16).padStart(2, "0");

/** What stands on its own as malformed, by an independent reading of the standard. */
function malformed(): string[] {
  const candidates: string[] = ["308080808001", "c08080808000", "30ffffffffff"];
  for (let first = 0; first < 256; first++) {
    for (const body of bodies.map(bytes)) {
      candidates.push(hex(first) + hex(body.length) + body.toString("hex"));
    }
  }
  return [...new Set(candidates)].filter((candidate) => {
    const { packets, end } = oracle(bytes(candidate));
    return end === "malformed" && packets.length === 0;
  });
}

/** What a client makes of `packet`, when a message follows it. */
async function outcomeOf(peer: Peer, packet: string): Promise<string> {
  const client = new MqttClient({
    host: "127.0.0.1",
    port: peer.port,
    protocol: "mqtt",
    clientId: "c",
    keepAlive: 0,
    reconnect: false,
  });
  let delivered = 0;
  const ended = new Promise<HubwireError | undefined>((resolve) => client.once("disconnect", resolve));
  client.on("error", () => {});
  try {
    const connected = client.connect();
    const connection = await peer.next();
    await connection.accept();
    await connected;
    const subscribed = client.subscribe("after", {}, () => void delivered++);
    await connection.packetOfType(8);
    connection.send("90 03 0001 00");
    await subscribed;
    connection.send(`${packet} 32 09 ${utf8("after")} 0007`);
    const answers = await connection.rest();
    const error = await soon(ended, "the disconnect event");
    return `${error?.code}, answered ${answers.join()}, delivered ${delivered}`;
  } catch (error) {
    return String(error);
  } finally {
    await client.close({ force: true });
  }
}

/** Those that did not end as they should. */
async function survivors(packets: readonly string[], code: string): Promise<string[]> {
  const left = [...packets];
  const wrong: string[] = [];
  const worker = async (): Promise<void> => {
    const peer = await Peer.listen();
    try {
      for (let packet = left.pop(); packet !== undefined; packet = left.pop()) {
        const outcome = await outcomeOf(peer, packet);
        if (outcome !== `${code}, answered , delivered 0`) wrong.push(`${packet}: ${outcome}`);
      }
    } finally {
      await peer.close();
    }
  };
  await Promise.all(Array.from({ length: 16 }, worker));
  return wrong;
}

test("every malformed packet closes the connection [MQTT-4.8.0-1 -]", { timeout: 60_000 }, async () => {
  const all = malformed();
  // Evenly through all packet types and flags; the codec's own tests have the rest.
  const some = all.filter((_, index) => index % 6 === 0);
  expect(some.length).toBeGreaterThan(302);
  expect(new Set(some.map((packet) => packet[0])).size).toBe(16);
  expect(await survivors(some, "ERR_MALFORMED_PACKET")).toEqual([]);
});

test("every packet that is not the server's to send closes the connection [MQTT-4.8.0-1 -]", async () => {
  expect(await survivors(Object.values(misplaced), "ERR_PROTOCOL_VIOLATION")).toEqual([]);
});

test("a well-formed packet does not, and the message behind it is delivered [MQTT-4.8.0-1 +]", async () => {
  const peer = await Peer.listen();
  try {
    const client = new MqttClient({
      host: "127.0.0.1",
      port: peer.port,
      protocol: "mqtt",
      clientId: "c",
      reconnect: false,
    });
    const connected = client.connect();
    const connection = await peer.next();
    await connection.accept();
    await connected;
    // Acknowledgements of nothing are no violation (policy 4): PUBREC is answered, the others are ignored.
    connection.send("40 02 0009 50 02 0009 70 02 0009 90 03 0009 00 b0 02 0009 d0 00");
    expect(await connection.settle()).toEqual(["62020009"]);
    await client.close({ force: true });
  } finally {
    await peer.close();
  }
});
