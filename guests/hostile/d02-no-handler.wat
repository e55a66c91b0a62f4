;; Exports a world of somebody else.
;;@frame event
;;@export
(export "wasi:cli/run@0.2.6" (instance $handler))
