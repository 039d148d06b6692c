// A connection string is read or refused with ERR_CONNECTION_STRING, which repeats no value; what is read was there.
import { inspect } from "node:util";
import { documented } from "../codec.mjs";
import { bytesOf, hub, ofWords, textOf } from "../hub.mjs";

export const coverage = /\/dist\/hub\//;
const KEY = "cGxhbnRlZC1zZWNyZXQta2V5";
export const seeds = [
  `HostName=h;DeviceId=d;SharedAccessKey=${KEY}`,
  `HostName=h;DeviceId=d;ModuleId=m;GatewayHostName=g;SharedAccessKeyName=p;SharedAccessKey=${KEY}`,
  `HostName=h;DeviceId=d;SharedAccessSignature=SharedAccessSignature sr=h&sig=${KEY}&se=5`,
  "HostName=h;DeviceId=d;x509=true",
].map(bytesOf);
export const words = ["HostName=", "DeviceId=", "ModuleId=", "GatewayHostName=", "SharedAccessKey=", "x509=", "true"]
  .concat(["SharedAccessSignature=", `SharedAccessSignature sr=h&sig=${KEY}&se=5`, "SharedAccessKeyName="])
  .concat([KEY, ";", ";", ";", "h", "d", " ", "=", "é"])
  .map(bytesOf);
export const generate = ofWords(words, 16);

const CODES = ["ERR_CONNECTION_STRING"];
const PRINTED = Symbol.for("nodejs.util.inspect.custom");
const NAMES = ["hostName", "deviceId", "moduleId", "gatewayHostName", "sharedAccessKeyName"];
const SECRETS = ["sharedAccessKey", "sharedAccessSignature"];

/** What is read; or the error. */
function parsed(text) {
  try {
    return { value: hub.parseConnectionString(text) };
  } catch (error) {
    return { error: documented(error, CODES) };
  }
}

/** The same text in the place of a name is no secret. */
const isName = (value) => NAMES.some((name) => value[name]?.includes(KEY));

export function run(input) {
  const text = textOf(input);
  const { value, error } = parsed(text);
  if (error !== undefined) {
    for (const name in error) if (String(error[name]).includes(KEY)) throw new Error("the key is repeated");
    if (error.message.includes(KEY) || "cause" in error) throw new Error("the key is repeated");
    return;
  }
  for (const name in value) {
    const part = value[name];
    if (part === true ? name !== "x509" : !text.includes(part)) throw new Error(`${name}: ${part} was not in the text`);
    if (!NAMES.includes(name) && !SECRETS.includes(name) && part !== true) throw new Error(`unknown ${name}`);
  }
  const printed = value[PRINTED]();
  for (const name of SECRETS) {
    if (printed[name] !== (value[name] && "[secret]")) throw new Error(`${name} would be printed`);
  }
}

/** What printing really shows. */
export function thorough(input) {
  const { value, error } = parsed(textOf(input));
  if (inspect(error ?? value).includes(KEY) && !(value && isName(value))) throw new Error("the key is printed");
}
