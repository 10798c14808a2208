"""Text for language models: chats and answers as tokens, and which of them are learned."""
