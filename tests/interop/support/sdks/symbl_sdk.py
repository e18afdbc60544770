"""Symbl's Python SDK, unmodified: logs in, then reads a conversation's messages for each line on stdin.

   symbl_sdk.py URL APP_ID APP_SECRET      one JSON line for each: the messages and the token, or the error's status

Its sound library, which no test needs, is an empty module.
"""

import json
import sys
import types

from symbl_rest import Configuration

url, app_id, app_secret = sys.argv[1:]
settings = Configuration()
settings.host = url
# Before the import, which makes clients with the settings of that moment.
Configuration.set_default(settings)

sys.modules["pyaudio"] = types.ModuleType("pyaudio")
import symbl  # noqa: E402

for _ in sys.stdin:
    try:
        credentials = {"app_id": app_id, "app_secret": app_secret}
        found = symbl.Conversations.get_messages(conversation_id="123", credentials=credentials)
        # It gives a refusal of the API as a mapping that says nothing of it.
        said = found if isinstance(found, dict) else {"messages": [message.text for message in found.messages]}
        said["token"] = symbl.AuthenticationToken.get_access_token()
    except Exception as error:
        said = {"error": repr(error), "status": getattr(error, "status", None)}
    print(json.dumps(said), flush=True)
