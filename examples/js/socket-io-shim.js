/** `io(url, { auth: { token } })` for code that was written for Socket.IO. It knows one connection and its requests. */
export function io(url, { auth = {}, WebSocket = globalThis.WebSocket } = {}) {
  const protocols = auth.token ? ["roomd.v1", `bearer.${auth.token}`] : ["roomd.v1"];
  const ws = new WebSocket(url, protocols);
  const open = new Promise((resolve) => ws.addEventListener("open", resolve));
  const acks = new Map();
  const listeners = new Map();
  const tell = (type, data) => listeners.get(type)?.forEach((listener) => listener(data));
  let last = 0;
  ws.addEventListener("open", () => tell("connect"));
  ws.addEventListener("close", ({ code, reason }) => tell("disconnect", reason || String(code)));
  ws.addEventListener("message", ({ data }) => {
    const { type, id, ...frame } = JSON.parse(data);
    if (type === "waiting" || !acks.has(id)) return tell(type, frame); // an event, or the join waits for its answer
    const ack = acks.get(id);
    acks.delete(id);
    if (type === "error") ack({ statusCode: frame.statusCode, message: frame.message });
    else ack(type === "participant" ? frame.participant : frame);
  });
  const socket = {
    on: (type, listener) => (listeners.set(type, [...(listeners.get(type) ?? []), listener]), socket),
    emit(type, fields = {}, ack = () => {}) {
      acks.set(++last, ack);
      const frame = JSON.stringify({ ...fields, type, id: last });
      open.then(() => ws.send(frame));
      return socket;
    },
    disconnect: () => ws.close(1000),
  };
  return socket;
}
