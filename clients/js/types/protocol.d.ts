/**
 * The objects of the protocol, as types.
 *
 * Generated from roomd's AsyncAPI document by generate_types.py: to change it, change roomd, then run `make types`.
 */
export type State = Record<string, boolean | number | string>;
export type WaitReason = "waiting_room" | "room_full";
export type Participant = {
    id: string;
    roomId: string;
    /**
     * Null for guests, and for all where the server hides user ids.
     */
    userId: string | null;
    /**
     * Null for users.
     */
    guestName: string | null;
    /**
     * Whether a connection is there now; false while the seat is held for one that dropped.
     */
    isActive: boolean;
    isHost: boolean;
    /**
     * ISO 8601.
     */
    joinedAt: string;
    /**
     * Null while the participant holds a seat; else when the connection was last there.
     */
    leftAt: string | null;
    /**
     * The name to show. Text, never markup.
     */
    displayName: string;
    /**
     * The participant's own state, as it last set it.
     */
    state: State;
    /**
     * `host` for whom `isHost` is true, `cohost` for others whose token gives host rights here, else `member`.
     */
    role: Role;
    /**
     * The claim `roomd.metadata` of the token; left out where there is none.
     */
    metadata?: Record<string, any>;
    /**
     * True for an admin who is there unseen; left out for everybody else.
     */
    isHidden?: boolean;
};
export type Room = {
    id: string;
    /**
     * Like `abc-def-ghi`.
     */
    code: string;
    name: string;
    /**
     * The user id of the host; empty for whom the server hides user ids from.
     */
    hostId: string;
    isActive: boolean;
    isLocked: boolean;
    maxParticipants: number;
    allowGuestAccess: boolean;
    /**
     * Newcomers wait until a host admits them.
     */
    waitingRoom: boolean;
    /**
     * What a newcomer gets of the messages that were sent before.
     */
    historyVisible: HistoryVisible;
    /**
     * Seats, held ones included.
     */
    participantCount: number;
    /**
     * ISO 8601.
     */
    createdAt: string;
    /**
     * Null while the room is open.
     */
    endedAt: string | null;
    /**
     * The id that an application gave the room; left out when it gave none.
     */
    externalId?: string;
    /**
     * What an application keeps with the room; left out when that is nothing. It may be any JSON.
     */
    metadata?: Record<string, any>;
    /**
     * ISO 8601: when the room ends by itself; left out when it does not.
     */
    expiresAt?: string;
    /**
     * The room ends when nobody was in it for so many seconds; left out when it does not.
     */
    endWhenEmpty?: number;
};
export type Message = {
    id: string;
    /**
     * Who sent it; null for the service: a host or an admin outside the room.
     */
    participantId: string | null;
    /**
     * The name of who sent it. Text, never markup.
     */
    displayName: string;
    /**
     * Text, never markup.
     */
    text: string;
    /**
     * ISO 8601.
     */
    sentAt: string;
    /**
     * The one participant it was for; null when it was for everyone.
     */
    to: string | null;
    /**
     * The id that its sender's client gave it; left out when it gave none.
     */
    clientId?: string;
};
export type Waiting = {
    participantId: string;
    userId: string | null;
    guestName: string | null;
    displayName: string;
    /**
     * Whether a connection is there now.
     */
    isActive: boolean;
    /**
     * From 1, in the order people came.
     */
    position: number;
    /**
     * `waiting_room`: for the host. `room_full`: for a seat.
     */
    reason: WaitReason;
    /**
     * ISO 8601.
     */
    waitingSince: string;
};
export type MessagesReply = {
    type: "messages";
    messages: Message[];
    nextCursor: string | null;
    id?: number | string;
};
export type BansReply = {
    type: "bans";
    bans: Ban[];
    nextCursor: string | null;
    id?: number | string;
};
export type IceServersReply = {
    type: "ice-servers";
    iceServers: IceServer[];
    /**
     * Seconds until the credentials expire.
     */
    ttl: number;
    id?: number | string;
};
export type RoomReply = {
    type: "room";
    /**
     * Null only in the answer to `get-room`, for somebody banned and for a guest where guests are not allowed.
     */
    room: Room | null;
    admission?: Admission;
    id?: number | string;
};
export type Role = "cohost" | "host" | "member";
export type HistoryVisible = "all" | "none" | "since-joined";
export type Ban = {
    /**
     * Null for a guest.
     */
    userId: string | null;
    displayName: string;
    reason: string | null;
    /**
     * ISO 8601.
     */
    bannedAt: string;
    /**
     * Names the ban in `unban`, as `banId`.
     */
    id: string;
    /**
     * ISO 8601; null for a user, whose ban has no end.
     */
    expiresAt: string | null;
};
export type IceServer = {
    urls: string[];
    username?: string;
    credential?: string;
};
export type Admission = {
    allowed: boolean;
    statusCode?: number;
    code?: ErrorCode;
    message?: string;
};
export type ErrorCode = "bad_frame" | "address_unknown" | "unknown_type" | "not_in_room" | "invalid_settings" | "guest_name_required" | "invalid_guest_name" | "room_inactive" | "room_full" | "unauthenticated" | "invalid_token" | "token_expired" | "not_host" | "not_admin" | "room_locked" | "banned" | "denied" | "guests_not_allowed" | "wrong_user" | "wrong_room" | "not_allowed" | "room_not_found" | "participant_not_found" | "events_off" | "taken_over" | "seat_expired" | "position_expired" | "rate_limited" | "internal_error" | "unavailable" | "restarting" | "storage_low";
/**
 * Presence, like `{muted: true}`: at most 16 keys, 1 KiB of JSON.
 *
 * @typedef {Record<string, boolean | number | string>} State
 */
/**
 * What somebody waits for: the host, or a seat.
 *
 * @typedef {"waiting_room" | "room_full"} WaitReason
 */
/**
 * One person's stay in a room. Times are ISO 8601 in UTC with milliseconds.
 *
 * @typedef {object} Participant
 * @property {string} id
 * @property {string} roomId
 * @property {string | null} userId Null for guests, and for all where the server hides user ids.
 * @property {string | null} guestName Null for users.
 * @property {boolean} isActive Whether a connection is there now; false while the seat is held for one that dropped.
 * @property {boolean} isHost
 * @property {string} joinedAt ISO 8601.
 * @property {string | null} leftAt Null while the participant holds a seat; else when the connection was last there.
 * @property {string} displayName The name to show. Text, never markup.
 * @property {State} state The participant's own state, as it last set it.
 * @property {Role} role `host` for whom `isHost` is true, `cohost` for others whose token gives host rights here, else `member`.
 * @property {Record<string, any>} [metadata] The claim `roomd.metadata` of the token; left out where there is none.
 * @property {boolean} [isHidden] True for an admin who is there unseen; left out for everybody else.
 */
/**
 * A room as clients see it.
 *
 * @typedef {object} Room
 * @property {string} id
 * @property {string} code Like `abc-def-ghi`.
 * @property {string} name
 * @property {string} hostId The user id of the host; empty for whom the server hides user ids from.
 * @property {boolean} isActive
 * @property {boolean} isLocked
 * @property {number} maxParticipants
 * @property {boolean} allowGuestAccess
 * @property {boolean} waitingRoom Newcomers wait until a host admits them.
 * @property {HistoryVisible} historyVisible What a newcomer gets of the messages that were sent before.
 * @property {number} participantCount Seats, held ones included.
 * @property {string} createdAt ISO 8601.
 * @property {string | null} endedAt Null while the room is open.
 * @property {string} [externalId] The id that an application gave the room; left out when it gave none.
 * @property {Record<string, any>} [metadata] What an application keeps with the room; left out when that is nothing. It may be any JSON.
 * @property {string} [expiresAt] ISO 8601: when the room ends by itself; left out when it does not.
 * @property {number} [endWhenEmpty] The room ends when nobody was in it for so many seconds; left out when it does not.
 */
/**
 * A message in a room.
 *
 * @typedef {object} Message
 * @property {string} id
 * @property {string | null} participantId Who sent it; null for the service: a host or an admin outside the room.
 * @property {string} displayName The name of who sent it. Text, never markup.
 * @property {string} text Text, never markup.
 * @property {string} sentAt ISO 8601.
 * @property {string | null} to The one participant it was for; null when it was for everyone.
 * @property {string} [clientId] The id that its sender's client gave it; left out when it gave none.
 */
/**
 * Somebody who waits to be let in, as hosts see it.
 *
 * @typedef {object} Waiting
 * @property {string} participantId
 * @property {string | null} userId
 * @property {string | null} guestName
 * @property {string} displayName
 * @property {boolean} isActive Whether a connection is there now.
 * @property {number} position From 1, in the order people came.
 * @property {WaitReason} reason `waiting_room`: for the host. `room_full`: for a seat.
 * @property {string} waitingSince ISO 8601.
 */
/**
 * A page of messages in the order they were sent; `nextCursor` is null on the last page.
 *
 * @typedef {object} MessagesReply
 * @property {"messages"} type
 * @property {Message[]} messages
 * @property {string | null} nextCursor
 * @property {number | string} [id]
 */
/**
 * A page of bans, by user id or else by id; `nextCursor` is null on the last page.
 *
 * @typedef {object} BansReply
 * @property {"bans"} type
 * @property {Ban[]} bans
 * @property {string | null} nextCursor
 * @property {number | string} [id]
 */
/**
 * STUN and TURN servers for `RTCPeerConnection`; none where none are configured.
 *
 * @typedef {object} IceServersReply
 * @property {"ice-servers"} type
 * @property {IceServer[]} iceServers
 * @property {number} ttl Seconds until the credentials expire.
 * @property {number | string} [id]
 */
/**
 * One room; `admission` only in the answer to `get-room`.
 *
 * @typedef {object} RoomReply
 * @property {"room"} type
 * @property {Room | null} room Null only in the answer to `get-room`, for somebody banned and for a guest where guests are not allowed.
 * @property {Admission} [admission]
 * @property {number | string} [id]
 */
/**
 * @typedef {"cohost" | "host" | "member"} Role
 */
/**
 * @typedef {"all" | "none" | "since-joined"} HistoryVisible
 */
/**
 * Somebody who cannot come back to a room: a user, or a guest by the address that the guest had.
 *
 * @typedef {object} Ban
 * @property {string | null} userId Null for a guest.
 * @property {string} displayName
 * @property {string | null} reason
 * @property {string} bannedAt ISO 8601.
 * @property {string} id Names the ban in `unban`, as `banId`.
 * @property {string | null} expiresAt ISO 8601; null for a user, whose ban has no end.
 */
/**
 * A STUN or TURN server, as `RTCPeerConnection` takes it.
 *
 * @typedef {object} IceServer
 * @property {string[]} urls
 * @property {string} [username]
 * @property {string} [credential]
 */
/**
 * Whether this caller could join now, and if not, the error a join would get.
 *
 * @typedef {object} Admission
 * @property {boolean} allowed
 * @property {number} [statusCode]
 * @property {ErrorCode} [code]
 * @property {string} [message]
 */
/**
 * - `bad_frame`, 400: Malformed frame.
 * - `address_unknown`, 400: The address of this guest is not known; remove the guest and lock the room instead.
 * - `unknown_type`, 400: Unknown type.
 * - `not_in_room`, 400: Join a room first.
 * - `invalid_settings`, 400: Invalid settings.
 * - `guest_name_required`, 400: guestName is required.
 * - `invalid_guest_name`, 400: guestName must be 1 to 50 printable characters.
 * - `room_inactive`, 400: Room is no longer active.
 * - `room_full`, 400: Room is full.
 * - `unauthenticated`, 401: Authentication required.
 * - `invalid_token`, 401: Token is not valid. Then close 4401.
 * - `token_expired`, 401: Token has expired. Then close 4401.
 * - `not_host`, 403: Only the host can do this.
 * - `not_admin`, 403: Only an admin can do this.
 * - `room_locked`, 403: Room is locked.
 * - `banned`, 403: You were removed from this room.
 * - `denied`, 403: The host declined.
 * - `guests_not_allowed`, 403: Guests are not allowed in this room.
 * - `wrong_user`, 403: This connection belongs to someone else.
 * - `wrong_room`, 403: The token is for another room.
 * - `not_allowed`, 403: The token does not allow this.
 * - `room_not_found`, 404: Room not found.
 * - `participant_not_found`, 404: Participant not found.
 * - `events_off`, 404: This server keeps no event log.
 * - `taken_over`, 409: Your seat is in use on another device.
 * - `seat_expired`, 410: Seat is no longer held.
 * - `position_expired`, 410: Events after this position are missing; read on from oldest.
 * - `rate_limited`, 429: Too many requests.
 * - `internal_error`, 500: Internal error.
 * - `unavailable`, 503: Storage is unavailable, nothing was changed.
 * - `restarting`, 503: The server is restarting.
 * - `storage_low`, 507: Storage is nearly full.
 *
 * @typedef {"bad_frame" | "address_unknown" | "unknown_type" | "not_in_room" | "invalid_settings" | "guest_name_required" | "invalid_guest_name" | "room_inactive" | "room_full" | "unauthenticated" | "invalid_token" | "token_expired" | "not_host" | "not_admin" | "room_locked" | "banned" | "denied" | "guests_not_allowed" | "wrong_user" | "wrong_room" | "not_allowed" | "room_not_found" | "participant_not_found" | "events_off" | "taken_over" | "seat_expired" | "position_expired" | "rate_limited" | "internal_error" | "unavailable" | "restarting" | "storage_low"} ErrorCode
 */
export {};
