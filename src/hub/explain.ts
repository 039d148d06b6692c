/**
 * What an unexplained close probably means. Over MQTT 3.1.1 the hub answers many a mistake by closing the connection
 * and nothing else, so the error lists what fits what was just done, most likely first.
 */
import { invalid } from "../check.js";
import { HubwireError } from "../errors.js";
import { HUB_LIMITS } from "../wire/limits.js";

/** What was going on when the connection closed. Times in ms. */
export interface Activity {
  /** CONNACK came. */
  accepted: boolean;
  /** Since CONNACK. */
  upTime: number;
  /** Until the token expires; Infinity with a certificate. */
  tokenLeft: number;
  /** The largest message of the last seconds, bytes. */
  largest: number;
  /** Messages sent in the last second. */
  rate: number;
  /** Connections that closed soon after they were accepted, in a row, this one included. */
  shortLived: number;
}

/** The likely causes, in words. */
export function likelyCauses(activity: Activity): string[] {
  const { accepted, upTime, tokenLeft, largest, rate, shortLived } = activity;
  const causes: [likely: boolean, text: string][] = [
    [tokenLeft <= 0, "the SAS token expired"],
    [shortLived > 1, "another client connected as this device (takeover)"],
    [rate > HUB_LIMITS.sendRate, `throttled: ${rate} messages in the last second`],
    [largest > HUB_LIMITS.telemetry / 2, `message too large: ${largest} bytes, properties not counted`],
    [accepted && upTime < 10_000, "a topic not allowed, or QoS 2, in what was just sent, subscribed to or set as will"],
  ];
  const unlikely = causes.filter(([likely]) => !likely).map(([, text]) => text.replace(/: \d.*/, ""));
  return [
    ...causes.filter(([likely]) => likely).map(([, text]) => text),
    ...(accepted ? ["the network or the hub's own restart"] : ["a wrong user name or a device that is disabled"]),
    `less likely: ${unlikely.join("; ")}`,
  ];
}

/** The server took part in the protocol and refused who this is: trying again as the same cannot help. */
export const isRefusal = ({ code }: HubwireError): boolean =>
  /^ERR_(BAD_CREDENTIALS|NOT_AUTHORIZED|IDENTIFIER_REJECTED)$/.test(code);

/** Adds to an error what a device can do about it; errors that say enough come back as they are. */
export function explainError(error: HubwireError, activity: Activity, identity: string): HubwireError {
  const wrap = (message: string): HubwireError =>
    new HubwireError(error.code, message, { cause: error, retryable: error.retryable });
  // A device's caller knows of no packets: what it handed over is wrong.
  if (error.code === "ERR_INVALID_PACKET") {
    return invalid(error.message, { cause: error });
  }
  if (error.code === "ERR_CONNECTION_LOST") {
    return wrap(`the connection closed without a reason; likely: ${likelyCauses(activity).join("; ")}`);
  }
  if (error.code === "ERR_TAKEOVER") {
    const causes = likelyCauses({ ...activity, shortLived: 2 }).join("; ");
    return wrap(`the hub keeps closing connections of ${identity} soon after it accepted them; likely: ${causes}`);
  }
  if (!isRefusal(error)) return error;
  return wrap(
    `the hub refused ${identity}: check that it exists there and is enabled, that the key or certificate is ` +
      "its own, that a token is not expired and is for it, and that this machine's clock is right",
  );
}
