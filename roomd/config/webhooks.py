"""The settings of webhooks."""

from typing import Annotated, Literal

from msgspec import Meta, field

from roomd.config.tables import Section

EventType = Literal[
    "room-created", "room-updated", "room-ended", "room-deleted", "participant-joined", "participant-dropped",
    "participant-returned", "participant-left", "waiting-started", "waiting-ended", "message-sent", "user-banned",
    "user-unbanned",
]  # fmt: skip
"""The types of events in the log."""


class WebhookEndpoint(Section, frozen=True):
    """One endpoint of webhooks."""

    url: Annotated[
        str,
        Meta(min_length=1, max_length=2000, description="Where events are sent: https://, without user and password. "
             "http:// only with private = true."),
    ]  # fmt: skip
    secret_files: Annotated[
        tuple[str, ...],
        Meta(min_length=1, max_length=2, description="Files with a secret like whsec_..., which only their owner may "
             "read. With two of them, while you change the secret, each webhook has two signatures."),
    ]  # fmt: skip
    types: Annotated[
        tuple[EventType, ...], Meta(description="Types of the events that the endpoint gets. Empty: all.")
    ] = ()
    private: Annotated[
        bool,
        Meta(description="Whether the endpoint may be on this machine or in a private network. If not, only public "
             "addresses are connected to."),
    ] = False  # fmt: skip


class WebhooksConfig(Section, frozen=True):
    """Webhooks: the event log is sent to your backends by HTTP, as Standard Webhooks says."""

    endpoints: Annotated[
        dict[str, WebhookEndpoint],
        Meta(description="The endpoints, each in a table [webhooks.endpoints.NAME]. The variable takes JSON."),
    ] = field(default_factory=dict)
    timeout: Annotated[float, Meta(ge=1, le=60, description="Seconds that an attempt may take.")] = 15.0
    retry_first: Annotated[
        float,
        Meta(ge=0.01, le=3600, description="Seconds before the second attempt. They double with each further one."),
    ] = 1.0
    retry_longest: Annotated[float, Meta(ge=0.01, le=86_400, description="The most seconds between two attempts.")] = (
        300.0
    )
