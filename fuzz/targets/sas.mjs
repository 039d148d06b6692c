// A token is read or refused with ERR_SAS_TOKEN, which repeats nothing of it; what is read was there; checking never
// throws, and accepts nothing but what the key signed.
import { documented, equal } from "../codec.mjs";
import { bytesOf, hub, ofWords, textOf } from "../hub.mjs";

export const coverage = /\/dist\/hub\//;
const key = Buffer.alloc(32, 7).toString("base64");
const scope = "h/devices/d";
const token = hub.signSasToken(scope, key, 99);
const SIGNATURE = /sig=([^&]*)/.exec(token)[1];
export const seeds = [token, token + "&skn=p", "SharedAccessSignature se=5&sig=x%2by&sr=h%2fdevices"].map(bytesOf);
export const words = ["SharedAccessSignature ", "sr=", "sig=", "se=", "skn=", "&", "h%2Fdevices%2Fd", SIGNATURE, "99"]
  .concat(["%", "+", "=", "é", "x"])
  .map(bytesOf);
export const generate = ofWords(words, 16);

const CODES = ["ERR_SAS_TOKEN"];
const CHECK = { keys: [key], scope, now: 0 };
const signed = hub.parseSasToken(token).signature;

function parsed(text) {
  try {
    return hub.parseSasToken(text);
  } catch (error) {
    if (documented(error, CODES).message.includes(SIGNATURE)) throw new Error("the refusal repeats the signature");
    return undefined;
  }
}

export function run(input) {
  const text = textOf(input);
  const value = parsed(text);
  if (value !== undefined) {
    if (!Number.isSafeInteger(value.expiry)) throw new Error("the expiry is no integer");
    if (!text.includes(value.encodedResource)) throw new Error("the resource was not in the token");
  }
  const refusal = hub.verifySasToken(text, CHECK);
  if ((refusal === "malformed") !== (value === undefined)) throw new Error(`read as ${value}, but ${refusal}`);
  if (refusal === undefined) equal(value.signature, signed, "accepted");
}
