/** `hubwire listen`: prints what the hub sends to a device, and answers it as a device does. */
import type { DeviceClient, HubMessage } from "../hub/index.js";
import { setAlarm } from "../clock.js";
import { HubwireError } from "../errors.js";
import { badArgument, command, type Values } from "./command.js";
import { deviceOf, deviceOptions } from "./identity.js";
import { type Io, remark, said, stopped } from "./io.js";
import { bodyFields, Output, outputOptions } from "./output.js";
import { integer, jsonObjectOf, jsonOf } from "./values.js";

/** Bytes of a line that patches the reported properties; the hub takes 32 KiB. */
const LONGEST_PATCH = 256 * 1024;

const options = {
  ...deviceOptions,
  methods: { help: "answer direct methods with status 200 and the payload, and print them" },
  method: {
    value: "name=status[,json]",
    multiple: true,
    help: "answer this method so, e.g. reboot=202 or get='200,{\"on\":true}'; methods not named are answered with 501, or as --methods says",
  },
  twin: { help: "print the twin, and each change of the desired properties" },
  report: {
    value: "json",
    multiple: true,
    anything: true,
    help: "change the reported properties (null deletes one); - takes each line of standard input as such a change",
  },
  mirror: { help: "report each change of the desired properties back as it came" },
  count: { short: "n", value: "number", help: "end after so many lines" },
  seconds: { short: "s", value: "number", help: "end after so long" },
  reconnect: { help: "come back after a lost connection instead of ending" },
  ...outputOptions,
} as const;

type ListenValues = Values<typeof options>;

interface Answer {
  readonly status: number;
  readonly payload: unknown;
}

/** Reads `--method`: the name, then a status, then the payload if there is one. */
function answersOf({ method = [] }: ListenValues): Map<string, Answer> {
  return new Map(
    method.map((text) => {
      const found = /^([^=]+)=(\d{1,9})(?:,(.*))?$/s.exec(text);
      if (found === null) throw badArgument("--method takes name=status or name=status,json");
      const [, name = "", status, payload] = found;
      return [name, { status: Number(status), payload: payload === undefined ? null : jsonOf("--method", payload) }];
    }),
  );
}

/** What ends the listening, and how. */
class Ending {
  readonly over: Promise<void>;
  finish!: () => void;
  fail!: (error: HubwireError) => void;

  constructor() {
    this.over = new Promise((resolve, reject) => {
      this.finish = resolve;
      this.fail = reject;
    });
    // It may fail while nobody waits yet.
    this.over.catch(() => {});
  }
}

/** Prints until the count is reached; what comes after that is refused, so that the hub keeps it for the next time. */
class Printer {
  readonly #output: Output;
  readonly #ending: Ending;
  #left: number;

  constructor(output: Output, ending: Ending, count: number) {
    this.#output = output;
    this.#ending = ending;
    this.#left = count;
  }

  /** Nothing is printed any more. */
  get full(): boolean {
    return this.#left <= 0;
  }

  async print(type: string, fields: object): Promise<void> {
    if (this.full) throw new HubwireError("ERR_CLOSED", "the count is reached");
    this.#left--;
    await this.#output.print({ type, ...fields });
    // What was printed is acknowledged or answered when the handler that prints it is through, which is not yet.
    if (this.#left === 0) setImmediate(this.#ending.finish);
  }
}

/** Subscribes to all that the options ask for. */
async function attend(device: DeviceClient, values: ListenValues, printer: Printer, io: Io): Promise<void> {
  await device.messages(({ payload, ...message }: HubMessage) =>
    printer.print("message", { ...message, ...bodyFields(payload) }),
  );
  const answers = answersOf(values);
  const answered = async (name: string, payload: unknown, answer: Answer): Promise<Answer> => {
    await printer.print("method", { name, payload, ...(answers.has(name) && { status: answer.status }) });
    return answer;
  };
  for (const [name, answer] of answers) await device.onMethod(name, ({ payload }) => answered(name, payload, answer));
  if (values.methods) {
    await device.onMethod("*", ({ name, payload }) => answered(name, payload, { status: 200, payload }));
  }
  if (values.twin || values.mirror) {
    await device.onDesiredProperties(async (patch, version) => {
      if (values.twin) await printer.print("desired", { version, patch });
      if (values.mirror)
        await device.updateReportedProperties(patch).catch((error: HubwireError) => remark(io, said(error)));
    });
  }
  if (values.twin && !printer.full) await printer.print("twin", await device.getTwin());
}

/** Sends the changes of the reported properties that the options name, then those on standard input. */
async function report(
  device: DeviceClient,
  { report: texts = [] }: ListenValues,
  printer: Printer,
  io: Io,
): Promise<void> {
  const send = async (patch: object): Promise<void> => {
    const { version } = await device.updateReportedProperties(patch);
    await printer.print("reported", { patch, ...(version !== undefined && { version }) });
  };
  for (const text of texts.filter((each) => each !== "-")) await send(jsonObjectOf("--report", text));
  if (!texts.includes("-")) return;
  for await (const line of io.input.lines(LONGEST_PATCH)) {
    try {
      if (line.length > 0) await send(jsonObjectOf("--report", line.toString("utf8")));
    } catch (error) {
      // A line that is wrong, or refused by the hub, is not the end of the others.
      if (!(error instanceof HubwireError)) throw error;
      remark(io, said(error));
    }
  }
}

export const listen = command({
  name: "listen",
  usage: "[options] [<connection string>]",
  about: `Prints each cloud-to-device message (for a module: each message to an input) and completes it; on request methods
and twin changes too. One JSON document a line, or a readable line on a terminal. Ends with Ctrl-C, after --count
lines or after --seconds.`,
  options,

  async run({ values, positionals }, io) {
    const count = integer("count", values.count, 1, 1_000_000_000) ?? Infinity;
    const seconds = integer("seconds", values.seconds, 1, 2_000_000);
    answersOf(values);
    for (const text of values.report ?? []) if (text !== "-") jsonObjectOf("--report", text);
    const { device, rest, connect } = await deviceOf(values, positionals, io, values.reconnect === true);
    if (rest.length > 0) throw badArgument("hubwire listen takes one argument");
    const ending = new Ending();
    const printer = new Printer(new Output(io, values.json), ending, count);
    // What is refused after the last line is no trouble.
    device.on("error", (error) => printer.full || remark(io, said(error)));
    device.on("disconnect", (error) => {
      if (error !== undefined && !values.reconnect) ending.fail(error);
    });
    void stopped(io).then(ending.finish);
    let cancel = (): void => {};
    try {
      await connect();
      await attend(device, values, printer, io);
      io.stderr.write("listening; Ctrl-C ends\n");
      if (seconds !== undefined) cancel = setAlarm(io.clock, seconds * 1000, ending.finish);
      report(device, values, printer, io).catch((error: HubwireError) => printer.full || ending.fail(error));
      await ending.over;
    } finally {
      cancel();
      await device.close();
    }
    return 0;
  },
});
