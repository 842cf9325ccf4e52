#!/bin/sh
port=${FC_CUSTOM_LISTEN_PORT:-9000}
folder=$(mktemp -d)
sed "s/PORT/$port/" nginx.conf > "$folder/nginx.conf"
exec nginx -p "$folder" -c "$folder/nginx.conf" -e stderr
