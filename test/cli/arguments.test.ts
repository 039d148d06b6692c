/**
 * Bad arguments: exit status 2, a message that names the option, nothing on standard output, and never a value that was
 * given, which may be a secret meant for another option.
 */
import { describe, expect, test } from "vitest";
import { commandNames, commandOf } from "../../src/cli/cli.js";
import { helpOf } from "../../src/cli/command.js";
import { said } from "../../src/cli/io.js";
import { HubwireError } from "../../src/errors.js";
import { runHere } from "../support/command.js";

const KEY = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I=";
const SECRET = `HostName=localhost;DeviceId=sensor-7;SharedAccessKey=${KEY}`;
const env = { IOTHUB_DEVICE_CONNECTION_STRING: SECRET };

/** A command line that fails, with the environment's connection string unless another is given. */
async function refused(args: readonly string[], given: { env?: Record<string, string>; input?: string } = { env }) {
  const { status, stdout, stderr } = await runHere(args, given);
  expect(status, stderr).toBe(2);
  expect(stdout).toBe("");
  expect(stderr).toMatch(/^hubwire: .*\(ERR_\w+\)\n$/s);
  expect(stderr).not.toContain(KEY.slice(0, 12));
  return stderr;
}

const every = await Promise.all(commandNames.map(commandOf));

describe("help", () => {
  test("without a command: the help on standard error, 2", async () => {
    const { status, stdout, stderr } = await runHere([]);
    expect([status, stdout]).toEqual([2, ""]);
    for (const name of commandNames) expect(stderr).toContain(`\n  ${name} `);
  });

  test.each([["--help"], ["-h"], ["help"]])("hubwire %s", async (word) => {
    const { status, stdout, stderr } = await runHere([word]);
    expect([status, stderr]).toEqual([0, ""]);
    for (const name of commandNames) expect(stdout).toContain(`\n  ${name} `);
  });

  test.each(commandNames)("%s: --help, -h beside anything, and help <command> are one", async (name) => {
    const help = helpOf(await commandOf(name));
    expect(help).toContain(`Usage: hubwire ${name}`);
    for (const args of [
      [name, "--help"],
      [name, "-h"],
      [name, "--nonsense", "--help"],
      ["help", name],
    ]) {
      expect(await runHere(args)).toEqual({ status: 0, stdout: `${help}\n`, stderr: "" });
    }
  });

  test.each(every)("$name: no line of the options is over 100 characters", (command) => {
    const table = helpOf(command).split("Options:\n")[1]?.split("\n\n")[0] ?? "";
    for (const line of table.split("\n")) expect(line.length, line).toBeLessThanOrEqual(100);
  });

  test("a body that is --help after -- is a body", async () => {
    expect(await refused(["send", "--qos", "7", "--", "--help"])).toContain("--qos");
  });
});

describe("bad arguments", () => {
  test.each([
    [["fly"], "no such command"],
    [["toString"], "no such command"],
    [["help", "fly"], "no such command"],
    [["demo", "now"], "takes no arguments"],
    [["emulate", "now"], "takes no arguments"],
    [["emulate", "--port", "65536"], "--port takes a whole number from 0 to 65535"],
    [["emulate", "--host", ""], "--host was given an empty value"],
    [["emulate", "--host", "a b"], "--host takes an address"],
    [["emulate", "--host-name", "a/b"], "--host-name takes a host name"],
    [["emulate", "--port", "0", "--ca-out", "/dev/null", "--module", "gateway"], "--module takes device/module"],
    [["emulate", "--port", "0", "--limits", "{"], "--limits takes JSON"],
    [["emulate", "--port", "0", "--faults", "[]"], "--faults takes a JSON object"],
    [["emulate", "--port", "0", "--faults", '{"wings":1}'], "there is no fault wings"],
    [["emulate", "--port", "0", "--device", "a/b"], "a device or module id is"],
    [["emulate", "--port", "0", "--setup", "/does/not/exist"], "--setup: the file cannot be read (ENOENT)"],
    [["send", "--wings"], "--wings is not an option"],
    [["send", "-y"], "-y is not an option"],
    [["send", "--websocket=yes"], "--websocket takes no value"],
    [["send", "--proxy", "socks5://localhost", "x"], "--proxy is written http://host:port"],
    [["doctor", "x"], "takes one argument"],
    [["doctor", "--websocket-port", "0"], "--websocket-port takes"],
    [["send", "--port"], "--port needs a value"],
    [["send", "--port", "--qos", "1"], "--port needs a value"],
    [["send", "--lines=yes"], "--lines takes no value"],
    [["send", "--port", "0", "x"], "--port takes a whole number from 1 to 65535"],
    [["send", "--port", "1e3", "x"], "--port takes"],
    [["send", "--timeout", "0", "x"], "--timeout takes"],
    [["send", "--qos", "2", "x"], "--qos takes a whole number from 0 to 1"],
    [["send", "--count", "0", "x"], "--count takes"],
    [["send", "--count", "-1", "x"], "--count needs a value"],
    [["send", "--rate", "0", "x"], "--rate takes a number above 0"],
    [["send", "--rate", "fast", "x"], "--rate takes"],
    [["send", "--property", "=x", "x"], "--property takes name=value"],
    [["send", "--ca", "/does/not/exist", "x"], "--ca: the file cannot be read (ENOENT)"],
    [["send", "--ca", "/etc/hostname", "x"], "--ca: the file holds no certificate"],
    [["send", "--cert", "/does/not/exist", "x"], "--cert: the file cannot be read"],
    [["send", "--key", "/does/not/exist", "x"], "--key needs --cert"],
    [["send", "--file", "/"], "--file: the file cannot be read (EISDIR)"],
    [["send", "--file", "/dev/zero"], "--file: the file has more than 262144 bytes"],
    [["send", "--body", "x", "--lines"], "give one of --body, --file, --lines and an argument"],
    [["send", "x", "y"], "more arguments"],
    [["send", "-c", SECRET, "--connection-file", "/dev/null"], "not both"],
    [["send", "--connection-file", "/does/not/exist", "x"], "--connection-file: the file cannot be read (ENOENT)"],
    [["send", "--connection-file", "/dev/zero", "x"], "--connection-file: the file has more than"],
    [["listen", "x"], "takes one argument"],
    [["listen", "--count", "many"], "--count takes"],
    [["listen", "--seconds", "0"], "--seconds takes"],
    [["listen", "--method", "reboot"], "--method takes name=status"],
    [["listen", "--method", "reboot=200,{"], "--method takes JSON"],
    [["listen", "--report", "{"], "--report takes JSON"],
    [["listen", "--report", "[1]"], "--report takes a JSON object"],
    [["sas", "x"], "takes one argument"],
    [["sas", "--ttl", "0"], "--ttl takes"],
    [["sas", "--ttl", "1", "--expiry", "2"], "--ttl or --expiry"],
    [["provision", "x"], "takes no arguments"],
    [["provision"], "--id-scope is missing"],
    [["provision", "--id-scope", "0ne"], "--registration-id is missing"],
    [["provision", "--id-scope", "0ne", "--registration-id", "r"], "--key-file, --group-key-file and --cert"],
    [
      ["provision", "--id-scope", "0ne", "--registration-id", "r", "--key-file", "/dev/zero"],
      "--key-file: the file has",
    ],
    [["provision", "--id-scope", "0ne", "--registration-id", "r", "--payload", "{"], "--payload takes JSON"],
  ])("%j", async (args, message) => {
    expect(await refused(args)).toContain(message);
  });

  test.each(["send", "listen", "sas"])("%s without a connection string anywhere", async (name) => {
    expect(await refused([name], { env: {} })).toContain("no connection string");
    expect(await refused([name, "-"], { env: {}, input: "" })).toContain("standard input has no connection string");
  });
});

describe("messages of the library, in the words of the command line", () => {
  test.each([
    ["pass its CA as tls.ca", "pass its CA as --ca"],
    ["option proxy is no URL", "--proxy is no URL"],
    ["provisioning needs an idScope and a registrationId", "provisioning needs an --id-scope and a --registration-id"],
    [
      "one of symmetricKey, groupKey and x509 ({ cert, key })",
      "one of --key-file, --group-key-file and --cert with --key",
    ],
    ["messageId must be a string", "--message-id must be a string"],
    ["404: check option path", "404: check the path"],
    ["check the port, or use protocol mqtt", "check the port"],
    ["nothing to change here", "nothing to change here"],
  ])("%s", (message, words) => {
    expect(said(new HubwireError("ERR_TLS", message))).toBe(`${words} (ERR_TLS)`);
  });
});

describe("secrets", () => {
  const valued = every.flatMap(({ name, options }) =>
    Object.entries(options)
      .filter(([, { value }]) => value !== undefined)
      .map(([option, { anything = false }]) => ({ name, option, anything })),
  );

  test.each(valued)("$name --$option is never told what it was given", async ({ name, option, anything }) => {
    for (const secret of [SECRET, KEY, `SharedAccessSignature sr=a&sig=${KEY}&se=1`]) {
      const { status, stdout, stderr } = await runHere([name, `--${option}`, secret, "--port", "none", "--wings"]);
      expect(status).toBe(2);
      expect(stdout + stderr).not.toContain(KEY.slice(0, 12));
      if (anything) continue;
      expect(await refused([name, `--${option}`, secret])).toContain(`--${option} was given what looks like a key`);
    }
  });

  test.each(commandNames)("%s: one in the place of an option or argument is not repeated", async (name) => {
    for (const args of [[`--${KEY}`], [`--${SECRET}`], [`-${KEY}`], [SECRET, KEY, KEY], [KEY, KEY, SECRET], [KEY]]) {
      await refused([name, ...args], { env: {} });
    }
  });

  test.each([
    ["HostName=localhost;DeviceId=sensor-7", "no key"],
    [`DeviceId=sensor-7;SharedAccessKey=${KEY}`, "no host"],
    [`HostName=localhost;DeviceId=sensor-7;SharedAccessKey=${KEY.slice(0, -1)}!`, "a key that is no base64"],
    ["HostName=localhost;DeviceId=sensor-7;SharedAccessKey=", "an empty key"],
    [KEY, "no connection string at all"],
    [`HostName=localhost;DeviceId=s;x509=true;SharedAccessKey=${KEY}`, "two proofs"],
    ["HostName=localhost;DeviceId=s;x509=true", "a certificate that is not given"],
  ])("a broken connection string is not repeated: %s", async (text) => {
    for (const name of ["send", "listen", "sas"]) {
      const body = name === "send" ? ["--body", "x"] : [];
      const argument = await runHere([name, text, ...body]);
      expect(argument.status).toBe(2);
      expect(argument.stderr).not.toContain(KEY.slice(0, 12));
      await refused([name, ...body, "-"], { env: {}, input: `${text}\n` });
      await refused([name, ...body], { env: { IOTHUB_DEVICE_CONNECTION_STRING: text } });
    }
  });

  test("a proxy's password among the arguments is warned of, and is in no message", async () => {
    for (const url of ["http://user:pass-word@localhost:1", "ftp://user:pass-word@localhost:1"]) {
      const { stderr } = await runHere(["send", "--proxy", url, "x"], { env });
      expect(stderr).toMatch(/^hubwire: warning: .*proxy's password/);
      expect(stderr).not.toContain("pass-word");
    }
  });

  test("one among the arguments is warned of once; elsewhere it is not", async () => {
    const warning = /^hubwire: warning: .*\(ps\).*$/m;
    for (const args of [[SECRET], ["-c", SECRET], ["--connection-string", SECRET]]) {
      const { status, stderr } = await runHere(["sas", ...args]);
      expect(status).toBe(0);
      expect(stderr.match(new RegExp(warning, "gm"))).toHaveLength(1);
    }
    expect((await runHere(["sas"], { env })).stderr).toBe("");
    expect((await runHere(["sas", "-"], { input: SECRET })).stderr).toBe("");
    expect((await runHere(["sas", "--connection-file", "-"], { input: `${SECRET}\nmore` })).stderr).toBe("");
  });
});
