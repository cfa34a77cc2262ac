{{/*
A CronJob of `python -m training`. Takes root, job (`retrain` or `watch`, which is also the key of its values),
model (empty: all of the policy) and arguments.
*/}}
{{- define "trueband.training.cronJob" -}}
{{- $root := .root -}}
{{- $training := $root.Values.training -}}
{{- $job := get $root.Values .job -}}
{{- $labels := include "trueband.labels" (dict "root" $root "component" .job) -}}
{{- $sidecar := and (hasKey $job "sidecar") (dig "sidecar" "enabled" false $job) -}}
apiVersion: batch/v1
kind: CronJob
metadata:
  name: {{ include "trueband.jobName" (dict "root" $root "job" .job "model" .model) }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- $labels | nindent 4 }}
  {{- with .model }}
  annotations:
    trueband/model: {{ . | quote }}
  {{- end }}
spec:
  schedule: {{ $job.schedule | quote }}
  timeZone: {{ $job.timeZone | quote }}
  suspend: {{ $job.suspend }}
  concurrencyPolicy: Forbid
  startingDeadlineSeconds: {{ int64 $job.startingDeadlineSeconds }}
  successfulJobsHistoryLimit: {{ int $job.successfulJobsHistoryLimit }}
  failedJobsHistoryLimit: {{ int $job.failedJobsHistoryLimit }}
  jobTemplate:
    metadata:
      labels:
        {{- $labels | nindent 8 }}
    spec:
      backoffLimit: {{ int $job.backoffLimit }}
      activeDeadlineSeconds: {{ int64 $job.activeDeadlineSeconds }}
      ttlSecondsAfterFinished: {{ int64 $job.ttlSecondsAfterFinished }}
      {{- if has "--fail-on-alarm" .arguments }}
      podFailurePolicy:
        rules:
          # An alarm: a second look would find it again.
          - action: FailJob
            onExitCodes:
              containerName: {{ .job }}
              operator: In
              values: [3]
      {{- end }}
      template:
        metadata:
          labels:
            {{- $labels | nindent 12 }}
          {{- with .model }}
          annotations:
            trueband/model: {{ . | quote }}
          {{- end }}
        spec:
          restartPolicy: Never
          serviceAccountName: {{ default (include "trueband.serviceAccountName" $root) $training.serviceAccountName }}
          automountServiceAccountToken: false
          enableServiceLinks: false
          securityContext:
            {{- toYaml $root.Values.podSecurityContext | nindent 12 }}
          {{- with $root.Values.imagePullSecrets }}
          imagePullSecrets:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          {{- if $sidecar }}
          # Time for the sidecar to hand a suspension to the ledger, should that be away just then.
          terminationGracePeriodSeconds: {{ int $root.Values.terminationGracePeriodSeconds }}
          initContainers:
            - {{- include "trueband.sidecar.container" (dict "root" $root "purpose" "brake") | nindent 14 }}
          {{- end }}
          containers:
            - name: {{ .job }}
              image: {{ include "trueband.image" (dict "root" $root "image" $training.image) }}
              imagePullPolicy: {{ $training.image.pullPolicy }}
              command:
                {{- concat (list "python" "-m" "training") .arguments $job.extraArgs | toYaml | nindent 16 }}
              env:
                - name: TRUEBAND_POLICY
                  value: /etc/trueband/policy.yaml
                # The root file system is read-only; what a library keeps for itself goes to the scratch volume.
                - name: HOME
                  value: /tmp
                - name: MPLCONFIGDIR
                  value: /tmp/matplotlib
                {{- if $sidecar }}
                - name: TRUEBAND_ADDRESS
                  value: {{ include "trueband.address" $root | quote }}
                {{- end }}
                {{- with get $job "token" }}
                {{- include "trueband.secretEnv" (dict "TRUEBAND_TOKEN" .existingSecret) | nindent 16 }}
                {{- end }}
                {{- include "trueband.ledgerEnv" $root | nindent 16 }}
                {{- include "trueband.mlflowEnv" (dict "root" $root "secret" (ternary $training.mlflow.existingSecret $root.Values.mlflow.existingSecret (ne $training.mlflow.existingSecret.name ""))) | nindent 16 }}
                {{- with $training.extraEnv }}
                {{- toYaml . | nindent 16 }}
                {{- end }}
              {{- with $training.envFrom }}
              envFrom:
                {{- toYaml . | nindent 16 }}
              {{- end }}
              resources:
                {{- toYaml $job.resources | nindent 16 }}
              securityContext:
                {{- include "trueband.securityContext" $root | nindent 16 }}
              volumeMounts:
                - name: trueband-policy
                  mountPath: /etc/trueband
                  readOnly: true
                - name: trueband-job-scratch
                  mountPath: /tmp
                {{- if and $sidecar (eq $root.Values.sidecar.api.mode "socket") }}
                - name: trueband-socket
                  mountPath: /run/trueband
                  readOnly: true
                {{- end }}
                {{- with $training.extraVolumeMounts }}
                {{- toYaml . | nindent 16 }}
                {{- end }}
          volumes:
            {{- include "trueband.training.volumes" (dict "root" $root "sidecar" $sidecar) | nindent 12 }}
          {{- with $training.nodeSelector }}
          nodeSelector:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          {{- with $training.tolerations }}
          tolerations:
            {{- toYaml . | nindent 12 }}
          {{- end }}
{{- end -}}

{{/* The volumes of a job, each name once. Takes root and sidecar (whether one runs beside it). */}}
{{- define "trueband.training.volumes" -}}
{{- $training := .root.Values.training -}}
{{- $scratch := dict "name" "trueband-job-scratch" "emptyDir" (dict "sizeLimit" $training.scratchSize) -}}
{{- $volumes := prepend $training.extraVolumes $scratch -}}
{{- $names := list -}}
{{- range $volumes -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- if .sidecar -}}
{{- range fromYamlArray (include "trueband.sidecar.volumes" (dict "root" .root "purpose" "brake")) -}}
{{- if not (has .name $names) -}}
{{- $volumes = append $volumes . -}}
{{- end -}}
{{- end -}}
{{- else -}}
{{- $volumes = append $volumes (dict "name" "trueband-policy" "configMap" (dict "name" (include "trueband.policyConfigMap" .root))) -}}
{{- end -}}
{{- toYaml $volumes -}}
{{- end -}}
