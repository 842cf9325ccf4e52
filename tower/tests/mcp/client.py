"""Calls the MCP server as a user's program would, and prints what came back.

    client.py URL legacy|auto           every kind of call, one after the other and at once
    client.py URL legacy|auto endless   one call that reports its progress and never ends
"""

import asyncio
import sys

import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client


def show(name, *values):
    print(name, *values, flush=True)


async def refused(call):
    try:
        return await call
    except MCPError as error:
        return error.error.code


async def every_kind_of_call(client):
    show("version", client.protocol_version)
    show("server", client.server_info.name, client.server_info.version)
    for tool in (await client.list_tools()).tools:
        show("tool", tool.name, *sorted(tool.input_schema["properties"]))
    for resource in (await client.list_resources()).resources:
        show("resource", resource.uri)
    for prompt in (await client.list_prompts()).prompts:
        show("prompt", prompt.name, *(argument.name for argument in prompt.arguments))

    show("add", (await client.call_tool("add", {"a": 2, "b": 40})).structured_content["sum"])
    failed = await client.call_tool("add", {"a": 2**31 - 1, "b": 1})
    show("add", "failed" if failed.is_error else "did not fail", failed.content[0].text)
    show("no such tool", await refused(client.call_tool("subtract", {})))
    show("count", *await count(client, 3))
    for number, counted in enumerate(await asyncio.gather(*(count(client, to) for to in range(1, 9)))):
        show("at once", number, *counted)
    show("read", (await client.read_resource("counter://running")).contents[0].text)
    show("no such resource", await refused(client.read_resource("counter://none")))
    show("greet", (await client.get_prompt("greet", {"name": "Ada"})).messages[0].content.text)


async def count(client, to):
    steps = []

    async def step(done, total, _message):
        steps.append(f"{done:g}/{total:g}")

    counted = await client.call_tool("count", {"to": to, "pause": 5}, progress_callback=step)
    return *steps, counted.content[0].text


async def endless(client):
    async def step(done, _total, _message):
        show("step", f"{done:g}")

    await client.call_tool("count", {"to": 10**9, "pause": 5}, progress_callback=step)


async def main(url, mode, calls="every"):
    methods = set()

    async def record(request):
        methods.add(request.method)

    async with httpx2.AsyncClient(timeout=30, event_hooks={"request": [record]}) as http:
        async with Client(streamable_http_client(url, http_client=http), mode=mode) as client:
            await (endless if calls == "endless" else every_kind_of_call)(client)
    show("methods", *sorted(methods))


asyncio.run(main(*sys.argv[1:]))
