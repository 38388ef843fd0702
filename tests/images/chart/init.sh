# What the init container of Bitnami's chart does with default values, in our words. It knows its pod's name, and runs again
# when the pod is started again. SECRETS has the passwords, SHARED is a folder that it shares with the node's container.
. "${FUNCTIONS:-/opt/bitnami/scripts/libkafka.sh}"
cp "${PREPARE:-/prepare}/server.properties" "$KAFKA_CONF_FILE"
secrets=${SECRETS:-/prepare/secrets}
ordinal=${MY_POD_NAME##*-}
kafka_server_conf_set "node.id" "$((ordinal + 0))"
controllers=()
for ((i = 0; i < 3; i++)); do
  controllers+=("$i@k-controller-$i:9093:AAAAAAAAAAAAAAAAAAAAA$i")
done
echo "${controllers[*]}" | awk -v OFS=',' '{$1=$1}1' >"${SHARED:-/shared}/initial-controllers.txt"
replace_in_file "$KAFKA_CONF_FILE" "advertised-address-placeholder" "$MY_POD_NAME"
replace_in_file "$KAFKA_CONF_FILE" "interbroker-password-placeholder" "$(<"$secrets/nodes")"
replace_in_file "$KAFKA_CONF_FILE" "controller-password-placeholder" "$(<"$secrets/ctl")"
read -r -a passwords <<<"$(tr ',;' ' ' <"$secrets/clients")"
for ((i = 0; i < ${#passwords[@]}; i++)); do
  replace_in_file "$KAFKA_CONF_FILE" "password-placeholder-$i\"" "${passwords[i]}\""
done
