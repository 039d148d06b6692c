// A connection string is read or refused with ERR_CONNECTION_STRING, which repeats no value; what is read was there.
import { inspect } from "node:util";
import { attempt } from "../codec.mjs";
import { bytesOf, hub, ofParts, textOf } from "../hub.mjs";

export const coverage = /\/dist\/hub\//;
const KEY = "cGxhbnRlZC1zZWNyZXQta2V5";
export const seeds = [
  `HostName=h;DeviceId=d;SharedAccessKey=${KEY}`,
  `HostName=h;DeviceId=d;ModuleId=m;GatewayHostName=g;SharedAccessKeyName=p;SharedAccessKey=${KEY}`,
  `HostName=h;DeviceId=d;SharedAccessSignature=SharedAccessSignature sr=h&sig=${KEY}&se=5`,
  "HostName=h;DeviceId=d;x509=true",
].map(bytesOf);
export const generate = ofParts(
  ["HostName=", "DeviceId=", "ModuleId=", "GatewayHostName=", "SharedAccessKey=", "SharedAccessKeyName=", "x509=", "true"]
    .concat(["SharedAccessSignature=", `SharedAccessSignature sr=h&sig=${KEY}&se=5`, KEY, ";", ";", ";", "h", "d", " ", "=", "é"]),
  16,
);

export function run(input) {
  const text = textOf(input);
  const { value, error } = attempt(() => hub.parseConnectionString(text), ["ERR_CONNECTION_STRING"]);
  if (inspect(error ?? value).includes(KEY) && !isName(value)) throw new Error("the key is repeated");
  for (const part of Object.values(value ?? {})) {
    if (part !== true && !text.includes(part)) throw new Error(`${part} was not in the text`);
  }
}

/** The same text in the place of a name is no secret. */
function isName(value) {
  const { sharedAccessKey, sharedAccessSignature, ...names } = value ?? {};
  return Object.values(names).some((name) => String(name).includes(KEY));
}
