"""The socket gateway: one WebSocket per device, the Centrifuge protocol on it, Pulsar and Redis behind it.

settings     what an operator may choose
protocol     frames of the wire: parsing and encoding, without any socket
wire         uvicorn's WebSocket with a synchronous writer
connection   one socket: its state, clock and end
opening      how a connection becomes a session
commands     what a client may ask once it is connected
hub          who is here, in which rooms, how far each room has come
backlog      what arrived while openings are on their way
requests     questions that wait for an answer
broker       Pulsar: commands and queries out, deliveries and revocations in
inbox        from the Pulsar client's threads into the event loop
registry     Redis: heartbeat and interest
tokens       access tokens and the keys that verify them
gateway      all of it put together
app          the HTTP side
"""

__version__ = "0.1.0"
