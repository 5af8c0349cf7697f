"""Exports of chats, as messages: who said what, and when. Each file reads one way of writing them down.

message    Message and Chat: what every parser returns
stamps     dates and times as phones of many languages write them
stamped    lines with a stamp: WhatsApp, Signal, Viber, IRC
whatsapp   what WhatsApp writes by itself between what people said
blocks     a heading above each message: Discord's .txt, iMessage, LINE, KakaoTalk
objects    JSON: Telegram, Discord, Skype, Google Chat, Matrix, and others whose messages say who sent what
meta       JSON of Messenger and Instagram
slack      a folder of days, with the names of people beside it
columns    tables: Discord's .csv, iMazing, KakaoTalk, and others with a sender, a time and a text
pages      HTML: Telegram, Messenger, Discord; XML of phones
assistants JSON: what ChatGPT and Claude export
plain      "Name: text" without any stamp
find       which of them a text is
"""
