/**
 * What the client will not send although the codec can write it: the strings that section 1.5.3 advises against.
 */
import { invalidArgument } from "./fault.js";

/**
 * Control characters and what Unicode says is no character (section 1.5.3). A low surrogate that ends a plane
 * is one only behind the high surrogates that end in six ones.
 */
const UNSENDABLE =
  /[\u0001-\u001f\u007f-\u009f\ufdd0-\ufdef\ufffe\uffff]|[\ud83f\ud87f\ud8bf\ud8ff\ud93f\ud97f\ud9bf\ud9ff\uda3f\uda7f\udabf\udaff\udb3f\udb7f\udbbf\udbff][\udffe\udfff]/;

/**
 * Checks that a topic name or filter is free of what section 1.5.3 says one should not send: U+0001 to U+001F,
 * U+007F to U+009F and the non-characters of Unicode. A receiver may close the connection on them, and
 * mosquitto does; `encode` and `decode` let them pass. `name` says in the error which string it is. Throws
 * ERR_INVALID_ARGUMENT.
 */
export function checkSendable(text: string, name: string): void {
  if (UNSENDABLE.test(text)) {
    throw invalidArgument(`${name} has a control character or a non-character, on which servers close the connection`);
  }
}
