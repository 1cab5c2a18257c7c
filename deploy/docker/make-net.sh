#!/bin/sh
# Makes a net for compose.yaml, and what each member needs: NET is the authority's directory, JOIN where the files for
# members go, OWNER the user of the image. Run again, it makes what is missing and leaves all else as it is.
set -eu

NET=${NET:-/authority/net}
JOIN=${JOIN:-/join}
OWNER=${OWNER:-10001:10001}
umask 077

[ -e "$NET/authority.key" ] || braidmq init "$NET"

add() { # KIND NAME OPTION...
    kind=$1 name=$2
    shift 2
    [ -e "$NET/$name.braid" ] || braidmq add "$kind" "$name" --net "$NET" --no-publish "$@"
}

for broker in b1 b2 b3; do
    add broker "$broker" --endpoint "tcp://$broker:5551"
done
add node monitor --observe
add node shout --serve shout
add node caller --call '*'

# The files of nodes name all brokers only now.
for name in b1 b2 b3 monitor shout caller; do
    [ -e "$JOIN/$name.braid" ] || install -m 0400 "$NET/$name.braid" "$JOIN/$name.braid"
done
[ -e "$JOIN/monitor.token" ] || python -c 'import secrets; print(secrets.token_urlsafe(32))' > "$JOIN/monitor.token"
chmod 0400 "$JOIN/monitor.token"
chown "$OWNER" "$JOIN"/*.braid "$JOIN/monitor.token"
