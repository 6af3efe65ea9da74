// A program that uses the package, as TypeScript sees it: tests/client/test_javascript.py checks it against what npm would
// publish. What must not compile says so.

import { followLog, Meeting, Refusal, View, type Frame, type IceServer, type Message, type Options, type Participant, type Room } from "roomd";

const options: Options = { code: "abc-def-ghi", token: async () => "jwt", wait: true };
const meeting = new Meeting("wss://meet.example/ws", options);

meeting.addEventListener("joined", ({ detail }) => {
  const participant: Participant = detail.participant;
  const muted: string | number | boolean | undefined = participant.state["muted"];
  console.log(participant.displayName.trim(), muted);
});
meeting.addEventListener("status", ({ detail: { status, retryIn } }) => {
  if (status === "reconnecting" && retryIn !== undefined) console.log(retryIn.toFixed(1));
  // @ts-expect-error: there is no such status
  if (status === "lost") console.log(status);
});
meeting.addEventListener("over", ({ detail }) => console.log(detail.code, detail.reason), { once: true });
// @ts-expect-error: a `message` event has no participant
meeting.addEventListener("message", ({ detail }) => console.log(detail.participant));

async function follow(): Promise<void> {
  for await (const { events, next } of followLog("wss://meet.example/ws", { token: async () => "jwt", after: "latest" })) {
    const names: (string | undefined)[] = events.map(({ participant }) => participant?.displayName);
    console.log(names, next.length);
  }
  // @ts-expect-error: without a token nobody reads the log
  followLog("wss://meet.example/ws", {});
}

async function main(): Promise<void> {
  try {
    await meeting.join();
  } catch (error) {
    if (error instanceof Refusal) console.log(error.statusCode, error.code, error.retryAfter ?? 0);
  }
  const room: Room | null = meeting.room;
  const me: Participant | null = meeting.me;
  const last: Message | undefined = meeting.messages.at(-1);
  for (const [id, { isHost, role, metadata }] of meeting.participants) console.log(id, isHost, role === "cohost", metadata?.team);
  const sender: string | null | undefined = last?.participantId; // null: the service
  const { iceServers, ttl }: { iceServers: IceServer[]; ttl: number } = await meeting.iceServers();
  const reply: Frame = await meeting.request("get-room", { code: options.code });
  await meeting.updateState({ muted: true, handRaised: null });
  // @ts-expect-error: presence is flat
  await meeting.updateState({ deep: {} });
  // @ts-expect-error: the id of a participant, not the participant
  await meeting.admit(me);
  // @ts-expect-error: read only
  meeting.status = "joined";
  console.log(room?.code, last?.text, sender, iceServers[0]?.urls, ttl, reply.type);
  await meeting.leave();
}

class Socket {
  readyState = 0;
  constructor(
    readonly url: string,
    readonly protocols: string[],
  ) {}
  send(data: string): void {}
  close(code?: number, reason?: string): void {}
  addEventListener(type: "message", listener: (event: { data: string }) => void): void {}
}
new Meeting("ws://localhost/ws", { code: "abc-def-ghi", guestName: "Jane", WebSocket: Socket });

const news = new View().apply({ type: "room-state", seq: 1 });
for (const one of news) if (one.type === "left") console.log(one.detail.participant.id);
void main();
