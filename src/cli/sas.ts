/** `hubwire sas`: makes a token from a connection string; the token alone goes to standard output. */
import { createSasToken, parseConnectionString } from "../hub/index.js";
import { HubwireError } from "../errors.js";
import { badArgument, command } from "./command.js";
import { connectionString, secretOptions } from "./identity.js";
import { integer } from "./values.js";

const DEFAULT_SECONDS = 3600;

export const sas = command({
  name: "sas",
  usage: "[options] [<connection string>]",
  about: "Makes a shared access signature token for the device (or module) of a connection string and prints it.",
  options: {
    ...secretOptions,
    ttl: { value: "seconds", help: `how long the token is valid (${DEFAULT_SECONDS})` },
    expiry: { value: "seconds", help: "when it expires, in seconds since 1970, instead of --ttl" },
  },

  async run({ values, positionals }, io) {
    const ttl = integer("ttl", values.ttl, 1, 400_000_000);
    if (ttl !== undefined && values.expiry !== undefined) throw badArgument("give --ttl or --expiry, not both");
    const expiry =
      integer("expiry", values.expiry, 1, 9_999_999_999) ??
      Math.floor(io.clock.wallTime() / 1000) + (ttl ?? DEFAULT_SECONDS);
    const { text, rest } = await connectionString(values, positionals, io);
    if (rest.length > 0) throw badArgument("hubwire sas takes one argument");
    const {
      hostName,
      deviceId,
      moduleId,
      sharedAccessKey: key,
      sharedAccessKeyName: keyName,
    } = parseConnectionString(text);
    if (key === undefined) {
      throw new HubwireError("ERR_CONNECTION_STRING", "the connection string has no SharedAccessKey to sign with");
    }
    const identity = { hostName, deviceId, ...(moduleId !== undefined && { moduleId }) };
    io.stdout.write(`${createSasToken({ ...identity, key, expiry, ...(keyName !== undefined && { keyName }) })}\n`);
    return 0;
  },
});
