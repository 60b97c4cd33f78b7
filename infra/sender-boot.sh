#!/bin/bash
# First boot of a sender host (Amazon Linux 2023). Its settings are in /etc/zonefleet.env, the bundled sender is in /opt/zonefleet.
# Node comes from Amazon's own repository; nothing else is installed. To run it again does no harm.
set -euo pipefail
set -a # settings are for the commands below, too
# shellcheck source=/dev/null
source /etc/zonefleet.env
set +a

readonly FOLDER=/opt/zonefleet
readonly DATA=/var/lib/zonefleet
readonly LOGS=/var/log/zonefleet
readonly WAITS=30
readonly TRIES=3

imds() {
  curl --fail --silent --max-time 5 --header "X-aws-ec2-metadata-token: $token" "http://169.254.169.254/latest/meta-data/$1"
}
token=$(curl --fail --silent --max-time 5 --request PUT \
  --header 'X-aws-ec2-metadata-token-ttl-seconds: 600' http://169.254.169.254/latest/api/token)

install_packages() {
  for ((i = 0; i < TRIES; i++)); do
    dnf install --assumeyes --quiet nodejs24 amazon-cloudwatch-agent && return 0
    sleep 10
  done
  return 1
}

make_user() {
  id zonefleet >/dev/null 2>&1 ||
    useradd --system --user-group --home-dir "$DATA" --shell /usr/sbin/nologin zonefleet
  install -d -o zonefleet -g zonefleet -m 700 "$DATA"
  install -d -o zonefleet -g zonefleet -m 755 "$LOGS"
}

# A private address for each Elastic IP that this host may hold, and on the interface at once: the system itself would put it there
# minutes later. All are in one subnet behind one interface, so a connection that binds one leaves by the right way without a
# routing rule of its own.
add_private_addresses() {
  local mac nic device missing
  mac=$(imds mac)
  nic=$(imds "network/interfaces/macs/$mac/interface-id")
  device=$(ip -o link | awk -v mac="$mac" 'tolower($0) ~ mac { sub(":", "", $2); print $2; exit }')
  missing=$((ZONEFLEET_ADDRESSES + 1 - $(private_addresses "$mac" | wc -l)))
  if ((missing > 0)); then
    aws ec2 assign-private-ip-addresses --network-interface-id "$nic" \
      --secondary-private-ip-address-count "$missing" >/dev/null
  fi
  for ((i = 0; i < WAITS; i++)); do
    (($(private_addresses "$mac" | wc -l) > ZONEFLEET_ADDRESSES)) && break
    sleep 1
  done
  for address in $(private_addresses "$mac"); do
    ip -o address show dev "$device" | grep --quiet --fixed-strings " $address/" ||
      ip address add "$address/32" dev "$device"
  done
}

private_addresses() {
  imds "network/interfaces/macs/$1/local-ipv4s"
  echo
}

# The unit is the one that `zonefleet systemd` prints anywhere; the log goes to a file for the agent to read.
write_unit() {
  (cd "$FOLDER" && /usr/bin/node-24 zonefleet.mjs systemd --user zonefleet) >/etc/systemd/system/zonefleet.service
  install -d /etc/systemd/system/zonefleet.service.d
  cat >/etc/systemd/system/zonefleet.service.d/log.conf <<UNIT
[Service]
StandardOutput=append:$LOGS/sender.log
StandardError=append:$LOGS/sender.log
UNIT
  cat >/etc/logrotate.d/zonefleet <<ROTATE
$LOGS/*.log {
  size 100M
  rotate 3
  compress
  copytruncate
  missingok
}
ROTATE
  # A day's log of a busy sender is larger than the disk.
  install -d /etc/systemd/system/logrotate.timer.d
  cat >/etc/systemd/system/logrotate.timer.d/zonefleet.conf <<TIMER
[Timer]
OnCalendar=
OnCalendar=hourly
TIMER
}

ship_log() {
  cat >/opt/aws/amazon-cloudwatch-agent/etc/zonefleet.json <<AGENT
{
  "logs": {
    "logs_collected": {
      "files": {
        "collect_list": [
          {
            "file_path": "$LOGS/sender.log",
            "log_group_name": "$ZONEFLEET_LOG_GROUP",
            "log_stream_name": "{instance_id}"
          }
        ]
      }
    }
  }
}
AGENT
  /opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl -a fetch-config -m ec2 -s \
    -c file:/opt/aws/amazon-cloudwatch-agent/etc/zonefleet.json
}

start_sender() {
  systemctl daemon-reload
  systemctl restart logrotate.timer
  systemctl enable --now zonefleet
  for ((i = 0; i < WAITS; i++)); do
    systemctl is-active --quiet zonefleet && sleep 5 && systemctl is-active --quiet zonefleet && return 0
    sleep 1
  done
  journalctl --unit zonefleet --lines 50 --no-pager
  return 1
}

install_packages
make_user
add_private_addresses
write_unit
ship_log
start_sender
