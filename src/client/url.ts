/**
 * A broker's address as a URL: `mqtts://user:password@host:8883`, `wss://host/mqtt`.
 *
 * Invariants: a URL says what the options would, and nothing twice; no text made here quotes any of it, for it may hold
 * a password.
 */
import { defined, invalid, orInvalid, readOptions } from "../check.js";
import { type Address, PORTS, type Protocol } from "./address.js";

/** The options that a URL stands for. */
export interface UrlOptions extends Pick<Address, "protocol" | "host" | "port" | "path"> {
  username?: string | undefined;
  password?: string | undefined;
}

/** What others call it. */
const SYNONYMS: Readonly<Record<string, Protocol>> = {
  tcp: "mqtt",
  ssl: "mqtts",
  tls: "mqtts",
  "mqtt+ssl": "mqtts",
  https: "wss",
  http: "ws",
};

const FORM = 'write "mqtts://host", "mqtts://user:password@host:8883" or "wss://host/path"';

/** Reads a URL. @throws HubwireError ERR_INVALID_ARGUMENT, which says what to write. */
export function parseUrl(given: string | URL): UrlOptions {
  const url = orInvalid(() => new URL(given), `the URL cannot be read: ${FORM}`);
  const scheme = url.protocol.slice(0, -1);
  const synonym = Object.hasOwn(SYNONYMS, scheme) ? SYNONYMS[scheme] : undefined;
  if (synonym !== undefined) throw invalid(`the scheme ${scheme} is called ${synonym} here: ${FORM}`);
  if (!Object.hasOwn(PORTS, scheme))
    throw invalid(`the URL's scheme must be one of ${Object.keys(PORTS).join(", ")}: ${FORM}`);
  if (!url.hostname) throw invalid(`the URL names no host: ${FORM}`);
  if (url.hash) throw invalid("the URL has a part behind #: write that character as %23");
  const webSocket = scheme === "ws" || scheme === "wss";
  if (url.search && !webSocket) throw invalid("the URL has a query: options go into the second argument");
  const options: UrlOptions = { protocol: scheme as Protocol, host: decode(url.hostname).replace(/^\[|\]$/g, "") };
  if (url.port) options.port = Number(url.port);
  if (url.username) options.username = decode(url.username);
  if (url.password) options.password = decode(url.password);
  // MQTT itself has no path.
  if (webSocket && url.pathname + url.search !== "/") options.path = url.pathname + url.search;
  return options;
}

/** The options of a URL and those beside it. @throws HubwireError ERR_INVALID_ARGUMENT, also for what is said twice. */
export function withUrl<T extends object>(url: string | URL, options: T): T & UrlOptions {
  const own = parseUrl(url);
  const given = defined(readOptions(options, "MqttClient"));
  const twice = Object.keys(own).find((name) => name in given);
  if (twice !== undefined) throw invalid(`option ${twice} is in the URL too: give it in one place`);
  return { ...given, ...own };
}

const decode = (text: string): string =>
  orInvalid(
    () => decodeURIComponent(text),
    "the URL has a % that is not followed by two hexadecimal digits: write it as %25",
  );
