"""The socket gateway: one WebSocket per device, the Centrifuge protocol on it, Pulsar and Redis behind it.

settings     what an operator may choose
protocol     frames of the wire: parsing and encoding, without any socket
wire         uvicorn's WebSocket with a synchronous writer
connection   one socket: its state, clock and end
opening      how a connection becomes a session
commands     what a client may ask once it is connected
subscribing  rooms that a client follows by its own wish
channels     history and presence of a room
refreshing   a newer token on the live socket
typing       words that are worth nothing a moment later
hub          who is here, in which rooms, how far each room has come
backlog      what arrived while openings are on their way
requests     questions that wait for an answer
broker       Pulsar: commands and queries out, deliveries and revocations in
inbox        from the Pulsar client's threads into the event loop
config_reader settings that change while it runs
registry     Redis: heartbeat, interest and presence
presence     who is connected, and who is told when that changes
pushes       what members get, as ready-made frames
tokens       whose a token is
keys         the keys that verify tokens
issuers      external issuers, and their keys
server_api   the same methods over HTTP, for servers
problems     its errors
api_document its OpenAPI document
metrics      what it measures, for Prometheus
gateway      all of it put together
app          the HTTP side
"""

__version__ = "0.1.0"
