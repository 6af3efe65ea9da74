#!/usr/bin/env bash
# weekly.sh DATE: create the room of a week's meeting, print its link; run twice it finds the same room.
# ROOMD is the address of the daemon, ROOMD_TOKEN the token of an admin.
set -euo pipefail

ask() {  # TYPE BODY: print the reply, or the error on standard error; wait and try again after 429 and 503
    curl -sS --fail-with-body --retry 3 "$ROOMD/api/v1/$1" -d "$2" \
        -H @<(printf 'Authorization: Bearer %s\n' "$ROOMD_TOKEN") -H 'Content-Type: application/json'
}

week=$(date --date "${1:-now}" +%G-W%V)
body=$(printf '{"externalId": "weekly-%s", "name": "Weekly %s", "hostId": "alice", "endWhenEmpty": 3600}' "$week" "$week")
reply=$(ask create-room "$body") || { echo "$reply" >&2; exit 1; }
code=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["room"]["code"])' <<<"$reply")
echo "$ROOMD/#code=$code"
