/**
 * What says which proxy is to be used.
 *
 * Invariant: no text made here quotes a URL, which may hold a password.
 */
import { invalid, orInvalid } from "../check.js";

/** Where a proxy is, and what proves that one may use it. */
export interface Proxy {
  readonly host: string;
  readonly port: number;
  /** TLS to the proxy itself. */
  readonly secured: boolean;
  /** The value of Proxy-Authorization. */
  readonly authorization: string | undefined;
}

const FORM = "a proxy is written http://host:port, or http://user:password@host:port";

/** The value of option `proxy` that stands for the environment variables. */
export const ENVIRONMENT = "environment";

/** Reads the URL of a proxy. @throws HubwireError ERR_INVALID_ARGUMENT */
export function parseProxy(value: string | URL): Proxy {
  const [url, user] = orInvalid(() => {
    const read = new URL(value);
    return [read, decodeURIComponent(read.username) + ":" + decodeURIComponent(read.password)];
  }, `option proxy is no URL: ${FORM}`);
  const secured = url.protocol === "https:";
  if (!secured && url.protocol !== "http:") {
    throw invalid(`option proxy must be of scheme http or https (for SOCKS there is createConnection): ${FORM}`);
  }
  if (url.pathname !== "/" || url.search || url.hash) throw invalid(`option proxy has more than an address: ${FORM}`);
  return {
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port: Number(url.port) || (secured ? 443 : 80),
    secured,
    authorization: user === ":" ? undefined : `Basic ${Buffer.from(user).toString("base64")}`,
  };
}

/**
 * The proxy that the environment names for a connection to `host`: `HTTPS_PROXY`, unless `NO_PROXY` lists the host; both
 * in small letters too. @throws HubwireError ERR_INVALID_ARGUMENT
 */
export function proxyOfEnvironment(
  host: string,
  port: number,
  environment: Readonly<Record<string, string | undefined>>,
): Proxy | undefined {
  const read = (name: string): string => environment[name.toLowerCase()] || environment[name] || "";
  const value = read("HTTPS_PROXY");
  if (value === "" || isExcepted(host.toLowerCase(), port, read("NO_PROXY"))) return undefined;
  return parseProxy(value.includes("://") ? value : `http://${value}`);
}

/** Whether a list such as `localhost, .example.com, 10.0.0.1:8883` names the host; `*` names all. */
function isExcepted(host: string, port: number, list: string): boolean {
  return list
    .toLowerCase()
    .split(/[\s,]+/)
    .filter((entry) => entry !== "")
    .some((entry) => {
      if (entry === "*") return true;
      const [, bracketed, plain, only] = /^(?:\[(.+)\]|([^:]+|.*:.*:.*?))(?::(\d+))?$/.exec(entry) ?? [];
      const name = (bracketed ?? plain ?? "").replace(/^\*?\./, "");
      if (only !== undefined && Number(only) !== port) return false;
      return name !== "" && (host === name || host.endsWith(`.${name}`));
    });
}
