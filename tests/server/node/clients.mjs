// Programs for Node that talk to a server of ours: node clients.mjs http://127.0.0.1:PORT completion-model chat-model
// It prints one line of JSON: what each of them got.

import assert from "node:assert/strict";

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, streamText } from "ai";
import OpenAI, { APIUserAbortError, BadRequestError, NotFoundError } from "openai";

const [address, book, talker] = process.argv.slice(2);
const messages = [{ role: "user", content: "hello" }];
const got = {};

const client = new OpenAI({ baseURL: `${address}/v1`, apiKey: "none", maxRetries: 0 });
const models = await client.models.list();
got.models = models.data.map((model) => model.id);

const whole = { model: book, prompt: "once upon", max_tokens: 40, seed: 3 };
const completion = await client.completions.create(whole);
got.usage = completion.usage;
let streamed = "";
for await (const chunk of await client.completions.create({ ...whole, stream: true })) {
  streamed += chunk.choices[0]?.text ?? "";
}
assert.equal(streamed, completion.choices[0].text);

const options = { model: talker, messages, max_tokens: 12, seed: 3, logprobs: true, top_logprobs: 2 };
const chat = await client.chat.completions.create(options);
assert.equal(chat.choices[0].logprobs.content.length, chat.usage.completion_tokens);
const stream = client.chat.completions.stream({ ...options, stream_options: { include_usage: true } });
const said = await stream.finalChatCompletion();
assert.equal(said.choices[0].message.content, chat.choices[0].message.content);
assert.equal(said.usage.completion_tokens, chat.usage.completion_tokens);

const response = await client.responses.create({ model: talker, input: "hello", max_output_tokens: 16 });
got.response = response.output_text.length;

await assert.rejects(client.completions.create({ ...whole, model: "none" }), NotFoundError);
await assert.rejects(client.completions.create({ ...whole, max_tokens: -1 }), BadRequestError);

// A long text is broken off: `aborted` is what the reader has got by then.
const endless = { max_tokens: 20000, ignore_eos: true, truncation: "auto" };
const long = await client.completions.create({ ...whole, ...endless, stream: true });
got.aborted = 0;
try {
  for await (const chunk of long) {
    if (++got.aborted === 3) long.controller.abort();
  }
} catch (error) {
  assert.ok(error instanceof APIUserAbortError);
}

const provider = createOpenAICompatible({ name: "homespun", baseURL: `${address}/v1`, apiKey: "none", includeUsage: true });
const answer = await generateText({ model: provider(talker), messages, maxOutputTokens: 12, seed: 3 });
assert.equal(answer.text, chat.choices[0].message.content);
const parts = streamText({ model: provider.completionModel(book), prompt: "once upon", maxOutputTokens: 40, seed: 3 });
got.ai = "";
for await (const part of parts.textStream) got.ai += part;
assert.ok(got.ai.length > 0);
got.aiUsage = (await parts.usage).outputTokens;

console.log(JSON.stringify(got));
