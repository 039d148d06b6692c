/**
 * `hubwire doctor`: where does the way from this machine to the hub end?
 *
 * Invariants: one layer is tried after the other, each with its time, and the next only where the one before let it
 * through; no step waits for longer than `--timeout`; a server that is not trusted is sent nothing secret.
 */
import { adviceOf, type Findings, type Route } from "./doctor-advice.js";
import { Checkup } from "./doctor-report.js";
import { examineClock, examineIdentity, examineNames, examineRoute, type Patient } from "./doctor-steps.js";
import { badArgument, command, type Values } from "./command.js";
import { certificateOf, connectionString, deviceOptions, networkOf, wayOf } from "./identity.js";
import type { Io } from "./io.js";
import { integer } from "./values.js";

/** ms between this clock and the hub's: tokens bear five minutes. */
const MOST_SKEW = 300_000;
const PORT = 8883;
const WEBSOCKET_PORT = 443;

const options = {
  ...deviceOptions,
  "websocket-port": {
    value: "number",
    help: "port of MQTT over WebSocket, tried on a failure and asked for the time (443)",
  },
  "no-telemetry": { help: "do not send the message that tells whether telemetry arrives" },
  json: { help: "print one JSON document a step, and one with the verdict" },
} as const;

type DoctorValues = Values<typeof options>;

/** Whether another way in could help: not where the hub itself said no. */
const isOfTheWay = ({ fault }: Route): boolean =>
  fault !== undefined &&
  !/^ERR_(BAD_CREDENTIALS|NOT_AUTHORIZED|IDENTIFIER_REJECTED|SAS_|INVALID)/.test(fault.error.code);

/** The client's options, without the port and protocol, which each way has of its own. */
function patientOf(values: DoctorValues, text: string, host: string, io: Io): Patient {
  const { port: _port, ...network } = networkOf(values, io);
  const { protocol: _protocol, ...way } = wayOf(values, io);
  const x509 = certificateOf(values);
  return {
    ...{ text, host, proxy: way.proxy, telemetry: !values["no-telemetry"] },
    tls: { ...network.tls, ...x509 },
    client: { reconnect: false, ...network, ...way, ...(x509 && { x509 }) },
  };
}

export const doctor = command({
  name: "doctor",
  usage: "[options] [<connection string>]",
  about: `Follows the way from this machine to the hub, step by step and each with its time: the connection string, DNS (IPv4
and IPv6), TCP, TLS (chain, name, expiry, version), the clock, CONNECT with the device's identity, a message. Where
one fails it tries MQTT over WebSocket, on port 443, and says what the network lets through and what to change.`,
  options,
  notes: "Exit status 0 when everything works on the way that was asked for, 1 when not.",

  async run({ values, positionals }, io) {
    const websocketPort = integer("websocket-port", values["websocket-port"], 1, 65_535) ?? WEBSOCKET_PORT;
    const given = integer("port", values.port, 1, 65_535);
    const { text, rest } = await connectionString(values, positionals, io);
    if (rest.length > 0) throw badArgument("hubwire doctor takes one argument");
    const checkup = new Checkup(io, values.json === true, networkOf(values, io).connectTimeout);
    const host = examineIdentity(checkup, text, certificateOf(values), io);
    const patient = patientOf(values, text, host, io);
    const findings: Findings = { host, proxy: patient.proxy !== undefined, env: io.env, mostSkew: MOST_SKEW };
    const names = await examineNames(checkup, patient);
    findings.names = names.fault;
    if (names.fault === undefined) {
      const websocket = values.websocket === true;
      const port = given ?? (websocket ? WEBSOCKET_PORT : PORT);
      findings.route = await examineRoute(checkup, patient, names, port, websocket);
      if (isOfTheWay(findings.route) && !websocket) {
        findings.detour = await examineRoute(checkup, patient, names, websocketPort, true);
      }
      findings.skew = await examineClock(checkup, patient, websocket ? port : websocketPort, io);
    }
    const works = findings.route !== undefined && findings.route.fault === undefined;
    checkup.conclude(works, adviceOf(findings));
    return works ? 0 : 1;
  },
});
