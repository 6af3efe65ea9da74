// The HTTP server of every peer: health checks, and rooms for the load generator.

import { createServer } from "node:http";

/** Answer `GET /healthz` and `POST /rooms?count=…&max=…`; null for anything else. */
export async function answer(method, url, createRooms) {
  const { pathname, searchParams } = new URL(url, "http://peer");
  if (method === "GET" && pathname === "/healthz") return "ok";
  if (method !== "POST" || pathname !== "/rooms") return null;
  const count = Number(searchParams.get("count") ?? 1);
  const max = Number(searchParams.get("max") ?? 100);
  const rows = await createRooms(count, max, searchParams.get("locked") === "1", searchParams.get("ended") !== "1");
  return JSON.stringify(rows.map((row) => row.code));
}

/** Make an HTTP server that answers them. */
export function httpServer(createRooms) {
  return createServer(async (request, response) => {
    const body = await answer(request.method, request.url, createRooms);
    if (body === null) response.statusCode = 404;
    response.end(body ?? "");
  });
}
