/**
 * Topic names and topic filters (section 4.7).
 *
 * Invariants: nothing here allocates or normalises (MQTT-4.7.3-4), and every check and match is linear in the
 * length of its arguments.
 */
import type { ErrorCode } from "../errors.js";
import { ARGUMENT, fault, invalidArgument } from "./fault.js";
import { stringLength } from "./utf8.js";

const SLASH = 0x2f;
const PLUS = 0x2b;
const HASH = 0x23;

/** `topic`, known to be a legal string. Throws `code` where it is no topic name. */
export function checkName(topic: string, code: ErrorCode): string {
  if (topic === "") throw fault(code, "empty topic", "4.7.3-1");
  if (topic.includes("+") || topic.includes("#")) throw fault(code, "wildcard in topic", "3.3.2-2");
  return topic;
}

/** A wildcard behind or before anything but a slash, or `#` before anything. */
const MISPLACED = /[^/][+#]|\+[^/]|#[^]/;

/** `filter`, known to be a legal string. Throws `code` where it is no topic filter. */
export function checkFilter(filter: string, code: ErrorCode): string {
  if (filter === "") throw fault(code, "empty topicFilter", "4.7.3-1");
  const wildcard = MISPLACED.exec(filter);
  if (wildcard) {
    const statement = wildcard[0].includes("#") ? "4.7.1-2" : "4.7.1-3";
    throw fault(code, "wildcard misplaced", statement);
  }
  return filter;
}

// The last good topic name: several ask about the same one, and most of a program's messages go to one topic.
let lastName: string | number = NaN;
let lastLength = 0;

/** Checks a topic name and returns its bytes in UTF-8. Throws `code`. */
export function topicLength(topic: string, code: ErrorCode): number {
  if (topic === lastName) return lastLength;
  const length = stringLength(topic, "topic", code);
  checkName(topic, code);
  lastName = topic;
  return (lastLength = length);
}

/** Whoever made `topic` says that it is a good topic name, all of it ASCII: it is not looked at. */
export function trustName(topic: string): void {
  lastName = topic;
  lastLength = topic.length;
}

/** Throws ERR_INVALID_ARGUMENT where a PUBLISH can't be sent to `topic` (sections 4.7.1 and 4.7.3). */
export function checkTopicName(topic: string): void {
  topicLength(topic, ARGUMENT);
}

/** Throws ERR_INVALID_ARGUMENT where nothing can be subscribed with `filter` (sections 4.7.1 and 4.7.3). */
export function checkTopicFilter(filter: string): void {
  stringLength(filter, "topicFilter", ARGUMENT);
  checkFilter(filter, ARGUMENT);
}

/**
 * Whether `topic` matches `topicFilter` (section 4.7). Both must be legal; of an illegal one only the type is
 * checked. Throws ERR_INVALID_ARGUMENT for anything but two strings.
 */
export function matchTopic(topicFilter: string, topic: string): boolean {
  if (typeof topicFilter !== "string" || typeof topic !== "string") throw invalidArgument("two strings expected");
  // MQTT-4.7.2-1
  if (topic.startsWith("$") && /^[+#]/.test(topicFilter)) return false;
  let t = 0;
  for (let f = 0; f < topicFilter.length; f++) {
    const unit = topicFilter.charCodeAt(f);
    if (unit === HASH) return true;
    if (unit === PLUS) {
      while (t < topic.length && topic.charCodeAt(t) !== SLASH) t++;
    } else if (unit !== topic.charCodeAt(t++)) {
      // `sport/#` matches its parent level `sport` too (section 4.7.1.2).
      return t > topic.length && topicFilter.startsWith("/#", f);
    }
  }
  return t === topic.length;
}
