;; Imports HTTP without having it granted.
;;@frame event
;;@import
(import "wasi:http/types@0.2.6" (instance (export "outgoing-request" (type (sub resource)))))
