/**
 * Topic names and topic filters (section 4.7).
 *
 * Invariants: nothing here allocates or normalises (MQTT-4.7.3-4), and every check and match is linear in the
 * length of its arguments.
 */
import type { ErrorCode } from "../errors.js";
import { fault, invalidArgument } from "./fault.js";
import { stringLength } from "./utf8.js";

const SLASH = 0x2f;
const PLUS = 0x2b;
const HASH = 0x23;

/** Throws `code` where `topic`, known to be a legal string, is no topic name. */
export function checkName(topic: string, code: ErrorCode): void {
  if (topic === "") throw fault(code, "empty topic name", "4.7.3-1");
  if (topic.includes("+") || topic.includes("#")) throw fault(code, "wildcard in a topic name", "3.3.2-2");
}

/** Throws `code` where `filter`, known to be a legal string, is no topic filter. */
export function checkFilter(filter: string, code: ErrorCode): void {
  if (filter === "") throw fault(code, "empty topic filter", "4.7.3-1");
  for (let at = 0; at < filter.length; at++) {
    const unit = filter.charCodeAt(at);
    if (unit !== PLUS && unit !== HASH) continue;
    const last = at + 1 === filter.length;
    if ((at > 0 && filter.charCodeAt(at - 1) !== SLASH) || !(last || filter.charCodeAt(at + 1) === SLASH)) {
      throw fault(code, "wildcard that is not a whole level", unit === PLUS ? "4.7.1-3" : "4.7.1-2");
    }
    if (unit === HASH && !last) throw fault(code, "# before the last level", "4.7.1-2");
  }
}

/** Throws ERR_INVALID_ARGUMENT where a PUBLISH can't be sent to `topic` (sections 4.7.1 and 4.7.3). */
export function checkTopicName(topic: string): void {
  stringLength(topic, "topic", "ERR_INVALID_ARGUMENT");
  checkName(topic, "ERR_INVALID_ARGUMENT");
}

/** Throws ERR_INVALID_ARGUMENT where nothing can be subscribed with `filter` (sections 4.7.1 and 4.7.3). */
export function checkTopicFilter(filter: string): void {
  stringLength(filter, "topicFilter", "ERR_INVALID_ARGUMENT");
  checkFilter(filter, "ERR_INVALID_ARGUMENT");
}

/**
 * Whether `topic` matches `topicFilter` (section 4.7). Both must be legal; of an illegal one only the type is
 * checked. Throws ERR_INVALID_ARGUMENT for anything but two strings.
 */
export function matchTopic(topicFilter: string, topic: string): boolean {
  if (typeof topicFilter !== "string" || typeof topic !== "string") throw invalidArgument("two strings expected");
  const first = topicFilter.charCodeAt(0);
  // MQTT-4.7.2-1
  if ((first === PLUS || first === HASH) && topic.startsWith("$")) return false;
  for (let f = 0, t = 0; ; f++, t++) {
    const level = topicFilter.charCodeAt(f);
    if (level === HASH) return true;
    if (level === PLUS) {
      f++;
      while (t < topic.length && topic.charCodeAt(t) !== SLASH) t++;
    } else {
      for (; f < topicFilter.length && topicFilter.charCodeAt(f) !== SLASH; f++, t++) {
        if (topicFilter.charCodeAt(f) !== topic.charCodeAt(t)) return false;
      }
    }
    // `sport/#` matches its parent level `sport` too (section 4.7.1.2).
    if (t >= topic.length) return f >= topicFilter.length || (topicFilter.endsWith("/#") && f + 2 === topicFilter.length);
    if (f >= topicFilter.length || topic.charCodeAt(t) !== SLASH) return false;
  }
}
