"""The audit log flows out, live: to syslog receivers and OTLP collectors, without a gap."""
