;; Imports a function by its bare name.
;;@frame event
;;@import
(import "system" (func (param "command" string)))
