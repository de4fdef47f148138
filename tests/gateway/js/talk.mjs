// Connects, speaks once, and tells what it sees as JSON lines. The token comes on stdin: arguments are visible to all.
import { randomBytes } from "node:crypto";
import { createInterface } from "node:readline/promises";

const [url, room, form] = process.argv.slice(2);
const protobuf = form === "protobuf";
const { Centrifuge } = await import(protobuf ? "centrifuge/build/protobuf" : "centrifuge");
const token = await createInterface({ input: process.stdin }).question("");
const tell = (kind, values) => process.stdout.write(JSON.stringify({ kind, ...values }) + "\n");

// Node has a WebSocket of its own only since version 22.
const options = { token };
if (typeof globalThis.WebSocket === "undefined") options.websocket = (await import("ws")).WebSocket;
const client = new Centrifuge(url, options);

// In Protobuf `data` is bytes to the library, both ways: they hold JSON all the same. Offsets are 64-bit objects.
const toData = (value) => (protobuf ? new TextEncoder().encode(JSON.stringify(value)) : value);
const fromData = (data) => (protobuf ? JSON.parse(new TextDecoder().decode(data)) : data);

function newKey() {
  const bytes = Buffer.concat([Buffer.alloc(6), randomBytes(10)]);
  bytes.writeUIntBE(Date.now(), 0, 6);
  bytes[6] = (bytes[6] & 0x0f) | 0x70;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

client.on("connecting", (context) => tell("connecting", { code: context.code }));
client.on("disconnected", (context) => tell("disconnected", { code: context.code }));
client.on("publication", (context) => {
  if (context.channel === `room:${room}`) tell("heard", { offset: Number(context.offset) });
});
client.once("connected", async (context) => {
  tell("connected", { user: fromData(context.data).user.user_id });
  const { data } = await client.rpc("message.send", toData({ room, key: newKey(), text: "hello from JavaScript" }));
  tell("sent", { offset: fromData(data).offset });
  await client.rpc("no.such", toData({})).catch((error) => tell("refused", { code: error.code }));
});
client.connect();
