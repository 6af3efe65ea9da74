import { useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { Meeting } from "roomd";

/** What a component may show: each of these values is replaced when it changes. */
const KEYS = ["status", "room", "me", "participants", "messages", "lobby", "place", "hands"];

/**
 * Join a room while the component is there, and leave it with the component.
 *
 * Returns what is true now, `over` (why it is over, or null) and the meeting, for its methods.
 */
export function useMeeting(url, code, { guestName, token } = {}) {
  const fresh = useRef(token); // a new function at each rendering does not join anew
  fresh.current = token;
  const isUser = token !== undefined;
  const [over, setOver] = useState(null);
  const meeting = useMemo(
    () => new Meeting(url, { code, guestName, token: isUser ? () => call(fresh.current) : undefined }),
    [url, code, guestName, isUser],
  );

  useEffect(() => {
    const end = ({ detail }) => setOver(detail);
    setOver(null);
    meeting.addEventListener("over", end);
    meeting.join().catch(() => {}); // "over" says why, as for every other end
    return () => {
      meeting.removeEventListener("over", end);
      void meeting.leave();
    };
  }, [meeting]);

  const store = useMemo(() => follow(meeting), [meeting]);
  return { ...useSyncExternalStore(store.subscribe, store.get, store.get), over, meeting };
}

const call = (token) => (typeof token === "function" ? token() : token);

/** Keep a snapshot that is the same object until something changes, as React asks for. */
function follow(meeting) {
  const look = () => Object.fromEntries(KEYS.map((key) => [key, meeting[key]]));
  let seen = look();
  return {
    get: () => seen,
    subscribe(listener) {
      const changed = () => ((seen = look()), listener());
      for (const type of ["change", "status"]) meeting.addEventListener(type, changed);
      changed();
      return () => ["change", "status"].forEach((type) => meeting.removeEventListener(type, changed));
    },
  };
}
