/** `hubwire sas`: makes a token from a connection string; the token alone goes to standard output. */
import { createSasToken, parseConnectionString } from "../hub/index.js";
import { HubwireError } from "../errors.js";
import { CONNECTION_STRING_VARIABLE, connectionString, integer, parse, type Command } from "./arguments.js";

const DEFAULT_SECONDS = 3600;

export const sas: Command = {
  help: `Usage: hubwire sas [options] [<connection string>]

Makes a shared access signature token for the device (or module) of a connection string and prints it.

Options:
  -c, --connection-string <text>  also the first argument, or the environment variable
                                  ${CONNECTION_STRING_VARIABLE}
      --ttl <seconds>             how long the token is valid (${DEFAULT_SECONDS})
      --expiry <seconds>          when it expires, in seconds since 1970, instead of --ttl
  -h, --help`,

  async run(args) {
    const { values, positionals } = parse(args, {
      "connection-string": { type: "string", short: "c" },
      ttl: { type: "string" },
      expiry: { type: "string" },
    });
    const { text, rest } = connectionString(values["connection-string"], positionals);
    if (rest.length > 0) throw new HubwireError("ERR_INVALID_ARGUMENT", "hubwire sas takes one argument");
    const identity = parseConnectionString(text);
    if (identity.sharedAccessKey === undefined) {
      throw new HubwireError("ERR_CONNECTION_STRING", "the connection string has no SharedAccessKey to sign with");
    }
    const ttl = integer("ttl", values.ttl, 1, 400_000_000) ?? DEFAULT_SECONDS;
    const expiry = integer("expiry", values.expiry, 1, 9_999_999_999) ?? Math.floor(Date.now() / 1000) + ttl;
    const { hostName, deviceId, moduleId, sharedAccessKey: key, sharedAccessKeyName: keyName } = identity;
    console.log(
      createSasToken({
        hostName,
        deviceId,
        key,
        expiry,
        ...(moduleId === undefined ? {} : { moduleId }),
        ...(keyName === undefined ? {} : { keyName }),
      }),
    );
    return 0;
  },
};
