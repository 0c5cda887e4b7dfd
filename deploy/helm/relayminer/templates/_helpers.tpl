{{- define "relayminer.name" -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "relayminer.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* The configuration: what is shared, and what every pod needs to be reached. */}}
{{- define "relayminer.config" -}}
{{- $own := dict "keys" (dict "keys_file" "/etc/relayminer/keys/supplier-keys.yaml") "control" (dict "listen" "0.0.0.0:9092") "logging" (dict "format" "json") -}}
{{- toYaml (mergeOverwrite $own (deepCopy .Values.config)) -}}
{{- end -}}

{{/* A pod of some roles; called with root, role, roles, resources. */}}
{{- define "relayminer.pod" -}}
metadata:
  labels:
    {{- include "relayminer.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .role }}
  annotations:
    # A changed configuration restarts what cannot be taken over while running.
    checksum/config: {{ include "relayminer.config" .root | sha256sum }}
    {{- if not .root.Values.metrics.podMonitor }}
    prometheus.io/scrape: "true"
    prometheus.io/port: "9092"
    prometheus.io/path: /metrics
    {{- end }}
    {{- with .root.Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- with .root.Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: {{ .root.Values.terminationGracePeriodSeconds }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    seccompProfile:
      type: RuntimeDefault
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          app.kubernetes.io/instance: {{ .root.Release.Name }}
          app.kubernetes.io/component: {{ .role }}
  containers:
    - name: {{ .role }}
      image: "{{ .root.Values.image.repository }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}"
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      args: [run, --config, /etc/relayminer/relayminer.yaml, --roles, {{ .roles | quote }}]
      env:
        # Unique in the fleet, and the same after a restart of the pod's container.
        - name: RELAYMINER_MINER__CONSUMER_NAME
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
      {{- with .root.Values.secrets.environment }}
      envFrom:
        - secretRef:
            name: {{ . }}
      {{- end }}
      ports:
        {{- if eq .role "relayer" }}
        - name: relays
          containerPort: 8080
        {{- end }}
        - name: control
          containerPort: 9092
      startupProbe:
        httpGet: {path: /ready, port: control}
        periodSeconds: 2
        failureThreshold: 90
      readinessProbe:
        httpGet: {path: /ready, port: control}
        periodSeconds: 2
        failureThreshold: 2
      livenessProbe:
        httpGet: {path: /health, port: control}
        periodSeconds: 10
        failureThreshold: 6
      resources:
        {{- toYaml .resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: [ALL]
      volumeMounts:
        - {name: config, mountPath: /etc/relayminer/relayminer.yaml, subPath: relayminer.yaml, readOnly: true}
        - {name: keys, mountPath: /etc/relayminer/keys, readOnly: true}
        # The disk spool lives here while the store is away.
        - {name: home, mountPath: /var/lib/relayminer}
        - {name: tmp, mountPath: /tmp}
  volumes:
    - name: config
      configMap:
        name: {{ include "relayminer.name" .root }}
    - name: keys
      secret:
        secretName: {{ .root.Values.secrets.keys }}
        # Read by the group of the pod, by nobody else.
        defaultMode: 0440
    - name: home
      emptyDir: {sizeLimit: 2Gi}
    - name: tmp
      emptyDir: {sizeLimit: 64Mi}
  {{- with .root.Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .root.Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .root.Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
