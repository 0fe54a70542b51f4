"""Runs for the event `users.*.create` and greets the new user. The payload is the body."""


def main(context):
    event = context.req.headers.get("x-appwrite-event")
    if event is None:
        return context.res.text("This function waits for users.*.create.\n", 400)
    user = context.req.body_json
    context.log(f"{event}: a welcome goes to {user['name']} <{user['email']}>")
    return context.res.empty()
