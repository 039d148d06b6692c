/**
 * What the doctor makes of its findings: what the network lets through, and what to change.
 *
 * Invariant: a function of the findings alone; the first advice is the likeliest.
 */
import type { HubwireError } from "../errors.js";

/** One way to the hub, and where it ended; without a fault it works. */
export interface Route {
  readonly port: number;
  readonly websocket: boolean;
  /** The addresses of one family do not answer, those of the other do. */
  readonly partial?: HubwireError | undefined;
  /** Who issued the server's certificate, as far as the chain tells. */
  readonly issuer?: string | undefined;
  readonly fault?: { readonly step: "tcp" | "tls" | "connack" | "telemetry"; readonly error: HubwireError };
}

export interface Findings {
  readonly host: string;
  /** A proxy was given. */
  readonly proxy: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** ms that a token bears. */
  readonly mostSkew: number;
  /** Why the name has no address of either family. */
  names?: HubwireError | undefined;
  /** The way that was asked for. */
  route?: Route;
  /** MQTT over WebSocket, tried because that failed. */
  detour?: Route;
  /** ms that this machine's clock is ahead of the server's. */
  skew?: number | undefined;
}

const proxyHint = ({ proxy, env }: Findings): string => {
  if (proxy) return "the proxy does not help: ask who runs it to allow this host and port";
  const known = env["HTTPS_PROXY"] || env["https_proxy"];
  return known
    ? 'HTTPS_PROXY is set here, so connections have to go through it: --proxy environment, or proxy: "environment" in a program'
    : "if this network has an HTTP proxy, give it: --proxy http://host:port";
};

/** What to do about a hub that refused the identity. */
function refusal({ skew = 0, mostSkew }: Findings): string[] {
  if (Math.abs(skew) > mostSkew) {
    return [
      `set this machine's clock: it is ${Math.round(Math.abs(skew) / 60_000)} minutes ${skew > 0 ? "ahead" : "behind"}, and a token is ` +
        "good only within five minutes of the hub's time",
    ];
  }
  return [
    "the network is fine, the identity is not: compare device id, host name and key with the portal's connection string, and see " +
      "that the device exists there and is enabled",
  ];
}

/** What to do about a certificate that is not trusted. */
function distrust(
  { error }: NonNullable<Route["fault"]>,
  { issuer = "an unknown issuer" }: Route,
  findings: Findings,
): string[] {
  switch (error.code) {
    case "ERR_TLS_UNTRUSTED":
    case "ERR_TLS_SELF_SIGNED":
      return [
        `the server's certificate comes from ${JSON.stringify(issuer)}: a hub of your own, or a gateway? then pass its authority with --ca. If it ` +
          "is the public hub, this network reads TLS: ask for an exception for " +
          `${findings.host}, or pass the network's own authority with --ca`,
      ];
    case "ERR_TLS_EXPIRED":
      return ["the certificate is not valid today by this machine's clock: set the clock, or renew the certificate"];
    case "ERR_TLS_HOST_NAME":
      return [`something else answers in place of ${findings.host}: check the host name, DNS, and who is between`];
    case "ERR_TLS_NOT_TLS":
      return ["what answers there does not speak TLS: check the port, or ask whether this network intercepts it"];
    default:
      return [
        `the TLS handshake does not come through: a firewall that looks into TLS, or another port; ${proxyHint(findings)}`,
      ];
  }
}

function faultAdvice(route: Route, findings: Findings): string[] {
  const { fault, port } = route;
  if (fault === undefined) return [];
  const { step, error } = fault;
  if (error.code === "ERR_PROXY") return [`the proxy does not lead to port ${port}: ${error.message}`];
  if (/^ERR_(BAD_CREDENTIALS|NOT_AUTHORIZED|IDENTIFIER_REJECTED|SAS_EXPIRED|SAS_TOKEN)$/.test(error.code))
    return refusal(findings);
  if (step === "tls") return distrust(fault, route, findings);
  if (step === "tcp") {
    if (findings.proxy) return [`the way to the proxy is not open: ${error.message}`];
    return error.code === "ERR_CONNECTION_REFUSED"
      ? [`nothing listens on port ${port} of ${findings.host}, or a firewall says so: check host name and port`]
      : [`this network does not let port ${port} out; ${proxyHint(findings)}`];
  }
  return [`TCP and TLS are fine, and then the server ended it: ${error.message}`];
}

/** Advice, the likeliest first; nothing where all is well. */
export function adviceOf(findings: Findings): string[] {
  const { host, names, route, detour, skew = 0, mostSkew } = findings;
  if (names !== undefined) {
    return [
      `${host} has no address here: check the host name (a hub that was deleted has none), and that this machine has a name server ` +
        `that knows the outside; ${proxyHint(findings)}`,
    ];
  }
  if (route === undefined) return [];
  if (route.fault === undefined) {
    return [
      ...(Math.abs(skew) > mostSkew ? ["set this machine's clock: tokens made by it will be refused"] : []),
      ...(route.partial
        ? ["an address does not answer; Node 20 and later try the others, Node 18 with --dns-result-order=ipv4first"]
        : []),
    ];
  }
  if (detour !== undefined && detour.fault === undefined) {
    return [
      `port ${route.port} does not work here and MQTT over WebSocket on port ${detour.port} does: use --websocket, or protocol: "wss" in a ` +
        "program, or have the firewall opened for the port",
      ...faultAdvice(route, findings),
    ];
  }
  const both = [...faultAdvice(route, findings), ...(detour ? faultAdvice(detour, findings) : [])];
  return [...new Set(both)];
}
