"""Says whether the reference library of the Standard Webhooks specification accepts a call."""

import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

with open(sys.argv[1], encoding="utf-8") as file:
    call = json.load(file)
try:
    Webhook(call["secret"]).verify(call["body"], call["headers"])
except WebhookVerificationError:
    print("refused")
else:
    print("accepted")
