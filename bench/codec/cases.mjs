// The packets that are encoded: topic and payload of a PUBLISH with QoS 1, or nothing for a PUBACK.
import { c2dTopic } from "./corpora.mjs";

const telemetry = Buffer.from(
  JSON.stringify({ temperature: 21.43, humidity: 48.2, pressure: 1013.25, battery: 3.61, sequence: 123456 }),
);
const events = "devices/thermostat-0042/messages/events/";

export const cases = {
  "QoS 1, 4-byte topic, 4-byte payload": ["t/01", Buffer.from("1234")],
  "QoS 1, telemetry topic, 98-byte payload": [`${events}%24.ct=application%2Fjson`, telemetry],
  "QoS 1, long property bag, 98-byte payload": [c2dTopic, telemetry],
  "QoS 1, telemetry topic, 98-character string": [events, telemetry.toString()],
  PUBACK: [],
};
