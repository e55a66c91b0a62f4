;; Exports the handler's interface without its function.
;;@frame event
;;@export
(instance $empty)
(export "guesthouse:handler/handler@0.1.0" (instance $empty))
