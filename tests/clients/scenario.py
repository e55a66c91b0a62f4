"""What the Python client of Iggy does with a broker: address and password as arguments, one line for each step."""

import asyncio
import sys

from apache_iggy import (
    Consumer,
    GlobalPermissions,
    IggyClient,
    Partitioning,
    Permissions,
    PollingStrategy,
    SendMessage,
    StreamPermissions,
    TcpConfig,
)

STREAM, TOPIC = "foreign-py", "topic"


async def connected(address, username, password):
    client = IggyClient(TcpConfig(server_address=address))
    await client.connect()
    await client.login_user(username, password)
    return client


async def poll(client, strategy, auto_commit=False):
    polled = await client.poll_messages(
        STREAM,
        TOPIC,
        consumer=Consumer.Single("reader"),
        polling_strategy=strategy,
        count=10,
        auto_commit=auto_commit,
        partition_id=1,
    )
    return " ".join(message.payload().decode() for message in polled)


async def denied(attempt):
    try:
        await attempt
    except Exception as error:
        return str(error)
    return "nothing"


async def main(address, password):
    root = await connected(address, "iggy", password)
    await root.ping()
    await root.create_stream(STREAM)
    await root.create_topic(STREAM, TOPIC, partitions_count=2)
    topic = await root.get_topic(STREAM, TOPIC)
    print("topic with", topic.partitions_count, "partitions")
    await root.send_messages(STREAM, TOPIC, Partitioning.partition_id(1), [SendMessage(text) for text in "abc"])
    print("first:", await poll(root, PollingStrategy.First()))
    print("second, committed:", await poll(root, PollingStrategy.Offset(1), auto_commit=True))
    print("next:", await poll(root, PollingStrategy.Next()))
    await root.create_user("py-reader", "secret", permissions=Permissions(GlobalPermissions(poll_messages=True)))
    reader = await connected(address, "py-reader", "secret")
    print("reader polls:", await poll(reader, PollingStrategy.First()))
    print("reader sends:", await denied(reader.send_messages(STREAM, TOPIC, Partitioning.partition_id(1), [SendMessage("d")])))
    await root.change_password("py-reader", "secret", "better")
    print("old password:", await denied(connected(address, "py-reader", "secret")))
    print("options:", len(await root.describe_options("topic")))
    stats = await root.get_stats()
    print("messages at least:", stats.messages_count >= 3, stats.iggy_server_version)
    await root.create_consumer_group(STREAM, TOPIC, "group")
    await root.join_consumer_group(STREAM, TOPIC, "group")
    await root.leave_consumer_group(STREAM, TOPIC, "group")
    await root.purge_topic(STREAM, TOPIC)
    print("purged:", (await root.get_topic(STREAM, TOPIC)).messages_count)
    await root.delete_user("py-reader")
    await root.delete_stream(STREAM)
    await root.logout_user()
    print("done")


asyncio.run(main(sys.argv[1], sys.argv[2]))
