{{/*
The sidecar: its container and the volumes that it needs, in one place for every way of delivery.
Both take a dict: root (the chart's context) and purpose:
  serve   the release's own
  test    of `helm test`: its own journal and its own ledger
  brake   beside a watch: its own journal and the release's ledger; it decides nothing, so it has no keys and no registry
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
  {{- if include "trueband.hasFloors" $root }}
  - name: TRUEBAND_FLOORS
    value: /etc/trueband-floors/floors.yaml
  {{- end }}
  {{- if $root.Values.principals.existingSecret.name }}
  - name: TRUEBAND_PRINCIPALS
    value: /etc/trueband-principals/principals.yaml
  {{- end }}
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
  {{- if ne .purpose "brake" }}
  {{- include "trueband.secretEnv" (dict "TRUEBAND_DECISION_KEY" $root.Values.decisionKey.existingSecret "TRUEBAND_AUDIT_KEYS" $root.Values.auditKeys.existingSecret) | nindent 2 }}
  {{- include "trueband.mlflowEnv" (dict "root" $root "secret" $root.Values.mlflow.existingSecret) | nindent 2 }}
  {{- end }}
  {{- if ne .purpose "test" }}
  {{- include "trueband.ledgerEnv" $root | nindent 2 }}
  {{- end }}
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
  # Directories, never a subPath: the kubelet does not refresh a subPath, and these files must hot-reload.
  - name: trueband-policy
    mountPath: /etc/trueband
    readOnly: true
  {{- if include "trueband.hasFloors" $root }}
  - name: trueband-floors
    mountPath: /etc/trueband-floors
    readOnly: true
  {{- end }}
  {{- if $root.Values.principals.existingSecret.name }}
  - name: trueband-principals
    mountPath: /etc/trueband-principals
    readOnly: true
  {{- end }}
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
{{- if include "trueband.hasFloors" $root }}
- name: trueband-floors
  configMap:
    name: {{ include "trueband.floorsConfigMap" $root }}
{{- end }}
{{- with $root.Values.principals.existingSecret }}
{{- if .name }}
- name: trueband-principals
  secret:
    secretName: {{ .name }}
    items:
      - key: {{ .key }}
        path: principals.yaml
{{- end }}
{{- end }}
- name: trueband-data
  {{- if and $root.Values.data.persistence.enabled (eq .purpose "serve") }}
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
{{- $mounted := list }}
{{- range $root.Values.sidecar.extraVolumeMounts }}
{{- $mounted = append $mounted .name }}
{{- end }}
{{- range $root.Values.extraVolumes }}
{{- /* A copy takes what the sidecar mounts: what is the model server's alone may be a claim with one writer. */}}
{{- if or (eq $.purpose "serve") (has .name $mounted) }}
{{ toYaml (list .) }}
{{- end }}
{{- end }}
{{- end -}}
