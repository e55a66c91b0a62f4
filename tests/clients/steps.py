"""Takes the steps of a file with Iggy's Python client: file, address and password of the root user as arguments. Prints
one line for each step that the client can take: what came of it."""

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
    TcpConfig,
)


async def connected(address, username, password):
    client = IggyClient(TcpConfig(server_address=address))
    await client.connect()
    await client.login_user(username, password)
    return client


def strategy(word):
    kind, _, value = word.partition("=")
    kinds = {"first": PollingStrategy.First, "next": PollingStrategy.Next}
    return kinds[kind]() if kind in kinds else PollingStrategy.Offset(int(value))


async def poll(client, stream, topic, partition, start, commit=None):
    polled = await client.poll_messages(
        stream,
        topic,
        consumer=Consumer.Single("reader"),
        polling_strategy=strategy(start),
        count=10,
        auto_commit=commit is not None,
        partition_id=int(partition),
    )
    return " ".join(message.payload().decode() for message in polled)


async def send(client, stream, topic, partition, *texts):
    to = Partitioning.partition_id(int(partition))
    await client.send_messages(stream, topic, to, [SendMessage(text) for text in texts])


async def create_topic(client, stream, topic, partitions):
    await client.create_topic(stream, topic, partitions_count=int(partitions))


async def create_user(client, name, password):
    await client.create_user(name, password, permissions=Permissions(GlobalPermissions(poll_messages=True)))


async def partitions(client, stream, topic):
    return (await client.get_topic(stream, topic)).partitions_count


async def messages(client, stream, topic):
    return (await client.get_topic(stream, topic)).messages_count


async def members(client, stream, topic, group):
    return (await client.get_consumer_group(stream, topic, group)).members_count


async def options(client):
    return len(await client.describe_options("topic"))


async def total(client):
    return (await client.get_stats()).messages_count


COMMANDS = {
    "ping": IggyClient.ping,
    "create-stream": IggyClient.create_stream,
    "create-topic": create_topic,
    "partitions": partitions,
    "send": send,
    "poll": poll,
    "create-group": IggyClient.create_consumer_group,
    "join": IggyClient.join_consumer_group,
    "leave": IggyClient.leave_consumer_group,
    "members": members,
    "create-user": create_user,
    "password": IggyClient.change_password,
    "options": options,
    "total": total,
    "messages": messages,
    "purge": IggyClient.purge_topic,
    "delete-user": IggyClient.delete_user,
    "delete-stream": IggyClient.delete_stream,
}


async def take(root, address, who, command, *words):
    try:
        client = root if who == "root" else await connected(address, *who.split("/"))
        outcome = await COMMANDS[command](client, *words)
    except KeyError:
        raise
    except Exception:
        return "refused"
    return "done" if outcome in (None, ()) or command.startswith("create-") else outcome


async def main(file, address, password):
    root = await connected(address, "iggy", password)
    for line in open(file):
        if line.startswith("#"):
            continue
        clients, who, step, _ = (word.strip() for word in line.split("|"))
        if "all" in clients or "python" in clients:
            print(await take(root, address, who, *step.split(" ")), flush=True)


asyncio.run(main(*sys.argv[1:4]))
