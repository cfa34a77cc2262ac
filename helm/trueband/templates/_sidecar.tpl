{{/*
The sidecar: its container and the volumes that it needs, in one place for every way of delivery.
Both take a dict: root (the chart's context) and isolated (true: a copy that shares neither journal nor
ledger with the release, as in `helm test`).
*/}}

{{- define "trueband.sidecar.container" -}}
{{- $root := .root -}}
{{- $sidecar := $root.Values.sidecar -}}
{{- $health := int $sidecar.health.port -}}
name: trueband
image: {{ include "trueband.image" (dict "root" $root "image" $sidecar.image) }}
imagePullPolicy: {{ $sidecar.image.pullPolicy }}
# What makes an init container a native sidecar.
restartPolicy: Always
command: [python, -m, sidecar, serve]
env:
  - name: TRUEBAND_POLICY
    value: /etc/trueband/policy.yaml
  - name: TRUEBAND_LISTEN
    value: {{ include "trueband.address" $root | quote }}
  - name: TRUEBAND_HEALTH_LISTEN
    value: {{ printf "%s:%d" $sidecar.health.address $health | quote }}
  - name: TRUEBAND_METRICS_LISTEN
    value: {{ ternary (printf "%s:%d" $sidecar.metrics.address (int $sidecar.metrics.port)) "" $sidecar.metrics.enabled | quote }}
  - name: TRUEBAND_DATA_DIR
    value: /var/lib/trueband
  - name: TRUEBAND_POLL_INTERVAL
    value: {{ $sidecar.pollIntervalSeconds | quote }}
  - name: TRUEBAND_DRAIN_SECONDS
    value: {{ $sidecar.drainSeconds | quote }}
  - name: TRUEBAND_READY_WITHOUT_CALIBRATOR
    value: {{ $sidecar.readyWithoutCalibrator | quote }}
  - name: TRUEBAND_JOURNAL_MAX_BYTES
    value: {{ int64 $sidecar.journalMaxBytes | quote }}
  - name: TRUEBAND_LOG_LEVEL
    value: {{ $sidecar.logLevel | quote }}
  # The root file system is read-only; what a library keeps for itself goes to the scratch volume.
  - name: HOME
    value: /tmp
  {{- range $variable, $secret := dict "TRUEBAND_DECISION_KEY" $root.Values.decisionKey.existingSecret "TRUEBAND_AUDIT_KEYS" $root.Values.auditKeys.existingSecret }}
  {{- if $secret.name }}
  - name: {{ $variable }}
    valueFrom:
      secretKeyRef:
        name: {{ $secret.name }}
        key: {{ $secret.key }}
  {{- end }}
  {{- end }}
  {{- if not .isolated }}
  {{- include "trueband.ledgerEnv" $root | nindent 2 }}
  {{- end }}
  {{- include "trueband.mlflowEnv" (dict "root" $root "secret" $root.Values.mlflow.existingSecret) | nindent 2 }}
  {{- with $sidecar.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $sidecar.envFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  - name: tb-health
    containerPort: {{ $health }}
    protocol: TCP
  {{- if and $sidecar.metrics.enabled (not (has $sidecar.metrics.address (list "127.0.0.1" "[::1]"))) }}
  - name: tb-metrics
    containerPort: {{ int $sidecar.metrics.port }}
    protocol: TCP
  {{- end }}
# A gRPC probe takes a number, not the name of a port. The model server starts after the startup probe: once
# policy, journal and the first attempt at every calibrator are through. Where a calibrator must be there
# (readyWithoutCalibrator: false) only readiness waits for it, lest a registry that is away restarts the sidecar.
startupProbe:
  grpc:
    port: {{ $health }}
    service: {{ ternary "" "liveness" $sidecar.readyWithoutCalibrator | quote }}
  {{- toYaml $sidecar.startupProbe | nindent 2 }}
readinessProbe:
  grpc:
    port: {{ $health }}
    service: ""
  {{- toYaml $sidecar.readinessProbe | nindent 2 }}
livenessProbe:
  grpc:
    port: {{ $health }}
    service: liveness
  {{- toYaml $sidecar.livenessProbe | nindent 2 }}
resources:
  {{- toYaml $sidecar.resources | nindent 2 }}
securityContext:
  {{- include "trueband.securityContext" $root | nindent 2 }}
volumeMounts:
  # A directory, never a subPath: the kubelet does not refresh a subPath, and the policy must hot-reload.
  - name: trueband-policy
    mountPath: /etc/trueband
    readOnly: true
  - name: trueband-data
    mountPath: /var/lib/trueband
  - name: trueband-scratch
    mountPath: /tmp
  {{- if eq $sidecar.api.mode "socket" }}
  - name: trueband-socket
    mountPath: /run/trueband
  {{- end }}
  {{- with $sidecar.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "trueband.sidecar.volumes" -}}
{{- $root := .root -}}
- name: trueband-policy
  configMap:
    name: {{ include "trueband.policyConfigMap" $root }}
- name: trueband-data
  {{- if and $root.Values.data.persistence.enabled (not .isolated) }}
  persistentVolumeClaim:
    claimName: {{ include "trueband.claimName" $root }}
  {{- else }}
  emptyDir:
    sizeLimit: {{ $root.Values.data.size }}
  {{- end }}
- name: trueband-scratch
  emptyDir:
    sizeLimit: 128Mi
{{- if eq $root.Values.sidecar.api.mode "socket" }}
- name: trueband-socket
  emptyDir:
    medium: Memory
    sizeLimit: 1Mi
{{- end }}
{{- with $root.Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
