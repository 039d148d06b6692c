// A token is read or refused with ERR_SAS_TOKEN, which repeats nothing of it; what is read was there; checking never
// throws, and accepts nothing but what the key signed.
import { attempt, equal } from "../codec.mjs";
import { bytesOf, hub, ofParts, textOf } from "../hub.mjs";

export const coverage = /\/dist\/hub\//;
const key = Buffer.alloc(32, 7).toString("base64");
const scope = "h/devices/d";
const token = hub.signSasToken(scope, key, 99);
const SIGNATURE = /sig=([^&]*)/.exec(token)[1];
export const seeds = [token, token + "&skn=p", "SharedAccessSignature se=5&sig=x%2by&sr=h%2fdevices"].map(bytesOf);
export const generate = ofParts(
  ["SharedAccessSignature ", "sr=", "sig=", "se=", "skn=", "&", "h%2Fdevices%2Fd", SIGNATURE, "99", "%", "+", "=", "é", "x"],
  16,
);

export function run(input) {
  const text = textOf(input);
  const { value, error } = attempt(() => hub.parseSasToken(text), ["ERR_SAS_TOKEN"]);
  if (error?.message.includes(SIGNATURE)) throw new Error("the refusal repeats the signature");
  if (value) {
    if (!Number.isSafeInteger(value.expiry)) throw new Error("the expiry is no integer");
    if (!text.includes(value.encodedResource)) throw new Error("the resource was not in the token");
  }
  const refusal = hub.verifySasToken(text, { keys: [key], scope, now: 0 });
  equal(refusal === "malformed", error !== undefined, "malformed");
  if (refusal === undefined) equal(hub.parseSasToken(text).signature, hub.parseSasToken(token).signature, "accepted");
}
