// node join.js URL CODE NAME — says hello, prints who is there, and leaves. Node 18 and 20 need `npm install ws`.
import { Meeting } from "roomd";

const [url, code, guestName] = process.argv.slice(2);
const WebSocket = globalThis.WebSocket ?? (await import("ws")).WebSocket;

const meeting = new Meeting(url, { code, guestName, WebSocket });
await meeting.join();
await meeting.say("Hello");
for (const { displayName } of meeting.participants.values()) console.log(displayName);
await meeting.leave();
