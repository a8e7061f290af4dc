#!/usr/bin/perl
# The alerts and the dashboard: promtool takes the rules and their cases, the manual has a section for each alert and names only what
# there is, and all metrics are those of docs/metrics.md. Each rule is then changed, comparison by comparison: cases that still pass
# would prove nothing.
use Test2::V0 '!call';
use File::Temp qw(tempdir);
use IPC::Open3;
use JSON::PP;
use YAML::PP;

my $folder = 'examples/prometheus';
my $scratch = tempdir('battlepass-alerts-XXXXXX', TMPDIR => 1, CLEANUP => 1);
my $json = JSON::PP->new->utf8->canonical;

sub slurp {
    my ($file) = @_;
    open my $in, '<', $file or die "$file: $!";
    return do { local $/; <$in> };
}

sub write_json {
    my ($file, $data) = @_;
    open my $out, '>', $file or die "$file: $!";
    print {$out} $json->encode($data);
    close $out or die "$file: $!";
    return $file;
}

# All scalars are text: 0x60 means a series, not 96. What is written again is JSON, which is YAML, too.
sub yaml { my ($file) = @_; return YAML::PP->new(schema => ['Failsafe'])->load_string(slurp($file)) }

# status, and what it says.
sub promtool {
    my (@arguments) = @_;
    my $pid = open3(my $in, my $out, undef, 'promtool', @arguments);
    close $in;
    my $said = do { local $/; <$out> };
    waitpid $pid, 0;
    return ($? >> 8, $said);
}

my $rules = yaml("$folder/battlepass.rules.yml");
my $tests = yaml("$folder/battlepass.tests.yml");
my @all = map { @{ $_->{rules} } } @{ $rules->{groups} };
my @alerts = grep { $_->{alert} } @all;
my @records = grep { $_->{record} } @all;
my $dashboard = $json->decode(slurp('examples/grafana/battlepass.json'));
my @panels = grep { $_->{type} ne 'row' } @{ $dashboard->{panels} };
my $book = slurp('docs/alerts.md');
my %section = $book =~ /^## (\S+)\n(.*?)(?=^## |\z)/msg;

# --- metrics ---

# Names of samples => their labels, from the manual of the metrics and from what is recorded.
my %samples = do {
    my %found = (up => [], ALERTS => [qw(alertname alertstate instance)]);
    my $text = slurp('docs/metrics.md');
    while ($text =~ /^\| `(\w+)` \| (\w+) \| ([^|]*?) ?\| /mg) {
        my ($name, $type, @labels) = ($1, $2, split /, /, $3);
        if ($type eq 'histogram') {
            $found{"${name}_$_"} = \@labels for qw(sum count);
            $found{"${name}_bucket"} = [ @labels, 'le' ];
        } else {
            $found{$name} = \@labels;
        }
    }
    $found{ $_->{record} } = [ grep { $_ ne 'job' } split /_/, $_->{record} =~ s/:.*//r ] for @records;
    %found;
};

# What is wrong with the names and labels of an expression.
sub strangers {
    my ($expression) = @_;
    my (@wrong, %known);
    while ($expression =~ /\b((?:\w+:)?battlepass_\w+(?::\w+)?|up|ALERTS)\b(?=[^"]*(?:"[^"]*"[^"]*)*$)(?:\{([^}]*)\})?/g) {
        my ($name, $matchers) = ($1, $2 // '');
        if (!$samples{$name}) {
            push @wrong, $name;
            next;
        }
        my %has = map { $_ => 1 } @{ $samples{$name} }, qw(job instance);
        %known = (%known, %has);
        push @wrong, map { "$name\{$_\}" } grep { !$has{$_} } $matchers =~ /(\w+)(?:=~|!~|!=|=)"/g;
    }
    push @wrong, map { "by ($_)" } grep { !$known{$_} } map { split /, */ } $expression =~ /\b(?:by|on|group_left) \(([^)]*)\)/g;
    return \@wrong;
}

sub panel_expressions { my ($panel) = @_; return map { $_->{expr} } @{ $panel->{targets} } }

subtest 'metrics' => sub {
    is(strangers('sum by (route) (rate(battlepass_requests_total{status=~"5.."}[5m]))'), [], 'what there is, is taken');
    is(strangers('rate(battlepass_request_total{status="500"}[5m])'), ['battlepass_request_total'], 'a name that is not there is found');
    is(strangers('sum by (lane) (battlepass_requests_total{state="x"})'), [ 'battlepass_requests_total{state}', 'by (lane)' ], 'so are labels');
    is(strangers('battlepass_request_duration_seconds'), ['battlepass_request_duration_seconds'], 'a histogram has no sample of its bare name');
    is(strangers($_->{expr}), [], $_->{alert} // $_->{record}) for @all;
    is(strangers($_), [], $_) for map { $_->{series} } map { @{ $_->{input_series} } } @{ $tests->{tests} };
    for my $panel (@panels) { is(strangers($_), [], "panel $panel->{title}") for panel_expressions($panel) }
    is(strangers($_->{expr}), [], "annotation $_->{name}") for @{ $dashboard->{annotations}{list} };
    is(strangers($_->{query}{query}), [], "variable $_->{name}") for grep { $_->{type} eq 'query' } @{ $dashboard->{templating}{list} };
};

# --- rules ---

subtest 'promtool' => sub {
    my ($status, $said) = promtool('check', 'rules', "$folder/battlepass.rules.yml");
    is($status, 0, 'the rules are well-formed') or diag($said);
    ($status, $said) = promtool('test', 'rules', "$folder/battlepass.tests.yml");
    is($status, 0, 'and do what their cases say') or diag($said);
};

subtest 'alerts' => sub {
    cmp_ok(scalar @alerts, '>=', 14, 'there are some');
    is([ sort { $a cmp $b } map { $_->{alert} } @alerts ], [ sort keys %{ { map { $_->{alert} => 1 } @alerts } } ], 'no name twice');
    for my $alert (@alerts) {
        my $name = $alert->{alert};
        like($name, qr/^Battlepass[A-Z]\w+$/, $name);
        like($alert->{for}, qr/^\d+m$/, 'for how long');
        like($alert->{labels}, { severity => qr/^(?:page|ticket)$/ }, 'severity');
        is([ sort keys %{ $alert->{annotations} } ], [qw(description runbook summary)], 'annotations');
        is($alert->{annotations}{runbook}, 'docs/alerts.md#' . lc $name, 'its section of the manual');
    }
};

sub cases_of { my ($name) = @_; return grep { $_->{alertname} eq $name } map { @{ $_->{alert_rule_test} // [] } } @{ $tests->{tests} } }

subtest 'cases' => sub {
    for my $name (map { $_->{alert} } @alerts) {
        my @cases = cases_of($name);
        ok((grep { @{ $_->{exp_alerts} } } @cases), "$name is raised");
        ok((grep { !@{ $_->{exp_alerts} } } @cases), "$name is not raised");
    }
    my %recorded = map { $_->{expr} => 1 } map { @{ $_->{promql_expr_test} // [] } } @{ $tests->{tests} };
    my %used = map { $_ => 1 } map { $_->{expr} =~ /(\w+:\w+:\w+)/g } @alerts;
    ok($recorded{ $_->{record} } || $used{ $_->{record} }, "$_->{record} is looked at") for @records;
};

# --- mutation ---

my $compares = qr/==|!=|>=|<=|>|</;
my %turned = ('==' => '!=', '>' => '<', '<' => '>');

# [what was changed, rule]: each comparison turned around, each threshold so that everything is beyond it, and no patience.
sub mutants_of {
    my ($alert) = @_;
    my @mutants;
    my $mutate = sub { my ($what, %change) = @_; push @mutants, [ "$alert->{alert}: $what", { %$alert, %change } ] };
    my @parts = split /(\{[^}]*\}|"[^"]*")/, $alert->{expr}; # matchers compare, too, but are not meant
    for my $part (grep { $_ % 2 == 0 } 0 .. $#parts) {
        while ($parts[$part] =~ /($compares)(\s*)([\d.]*)/g) {
            my ($from, $to, $operator, $space, $number) = ($-[0], $+[0], $1, $2, $3);
            my $with = sub {
                my @changed = @parts;
                substr($changed[$part], $from, $to - $from) = $_[0];
                return join '', @changed;
            };
            $mutate->("$operator $number turned around", expr => $with->("$turned{$operator}$space$number"));
            next if $operator eq '==';
            my $loose = $operator eq '<' ? '1e18' : '-1';
            $mutate->("$operator $number to $loose", expr => $with->("$operator$space$loose"));
        }
    }
    $mutate->('at once', for => '0m') if $alert->{for} ne '0m';
    return @mutants;
}

# A rule beside what is recorded, under the cases of its alert: a file for promtool.
my $written = 0;
sub write_mutant {
    my ($rule) = @_;
    my $number = ++$written;
    my @own = grep { grep { $_->{alertname} eq $rule->{alert} } @{ $_->{alert_rule_test} // [] } } @{ $tests->{tests} };
    my @groups = ({ name => 'records', rules => \@records }, { name => 'alert', rules => [$rule] });
    write_json("$scratch/$number.rules.json", { groups => \@groups });
    return write_json("$scratch/$number.json",
        { rule_files => ["$number.rules.json"], evaluation_interval => $tests->{evaluation_interval}, tests => \@own });
}

# file => does it pass? In one run of promtool, which says so for each.
sub passes {
    my (@files) = @_;
    my (undef, $said) = promtool('test', 'rules', @files);
    my %passes;
    $passes{$1} = $2 eq 'SUCCESS' while $said =~ /^Unit Testing: +(\S+)\n\s+(SUCCESS|FAILED)/mg;
    return \%passes;
}

subtest 'a rule that is changed fails its cases' => sub {
    my (%as_it_is, %changed);
    for my $alert (@alerts) {
        $as_it_is{ write_mutant($alert) } = $alert->{alert};
        my @mutants = mutants_of($alert);
        ok((grep { $_->[0] =~ /turned around/ } @mutants), "$alert->{alert} compares something");
        $changed{ write_mutant($_->[1]) } = $_->[0] for @mutants;
    }
    my $passes = passes(sort(keys %as_it_is), sort(keys %changed));
    is($passes->{$_}, T(), "$as_it_is{$_} as it is") for sort { $as_it_is{$a} cmp $as_it_is{$b} } keys %as_it_is;
    is($passes->{$_}, F(), $changed{$_}) for sort { $changed{$a} cmp $changed{$b} } keys %changed;
    note(scalar(keys %changed) . ' mutants');
};

# --- the manual ---

# A line of each sample as /metrics has it, with all labels that there can be.
my @lines = map { my $name = $_; "$name\{" . join(',', map { qq($_="5cache") } @{ $samples{$name} }) . '} 1' } grep { /^battlepass_/ } keys %samples;
s/source="5cache"/source="cache"/ for @lines;

# What a pattern with alternatives can be: each must find something.
sub each_of {
    my ($pattern) = @_;
    return $pattern if $pattern !~ /^(.*?)\(([^()]*)\)(.*)$/s;
    my ($before, $alternatives, $after) = ($1, $2, $3);
    return map { each_of("$before$_$after") } split /\|/, $alternatives;
}

subtest 'the manual' => sub {
    is([ sort keys %section ], [ sort map { $_->{alert} } @alerts ], 'a section for each alert, and no other');
    for my $alert (@alerts) {
        my $text = $section{ $alert->{alert} } // '';
        like($text, qr/^\n\*$alert->{labels}{severity}\*[.,]/, "$alert->{alert}: its severity");
        like($text, qr/^How to look.*?:\n\n```sh\n.*?^```\n.*^What to do/ms, 'how to look, what to do');
    }
    ok($samples{$1}, "metric $1") while $book =~ /`(battlepass_\w+)`/g;
    for my $pattern (map { each_of($_) } $book =~ /metrics" \| grep -E '([^']*)'/g) {
        ok((grep { /$pattern/ } @lines), "grep $pattern");
    }
    is([ grep { !$section{$_} } $book =~ /\b(Battlepass[A-Z]\w+)/g ], [], 'sections that it names are there');
};

subtest 'commands of the manual' => sub {
    my %commands;
    my $table = slurp('src/ctl/main.c');
    push @{ $commands{$1} }, $2 while $table =~ /^\t\{"(\w+)", (?:"(\w+)"|NULL), ctl_/mg;
    my %flags = map { $_ => 1 } slurp('src/service/flags.c') =~ /^\t\[FLAG_\w+\] = \{"(\w+)"/mg;
    my $tables = join ' ', map { slurp($_) } glob 'sql/*.sql';
    my $routes = slurp('src/api/routes.c');
    my $code = join "\n", $book =~ /^```sh\n(.*?)^```$/msg;
    while ($book =~ /battlepassctl ([a-z]+)(?: ([a-z_]+))?/g) {
        my ($first, $second) = ($1, $2 // '');
        my $known = $commands{$first} && (grep { !defined || $_ eq $second } @{ $commands{$first} });
        ok($known && ($first ne 'flag' || !$second || $flags{$second}), "battlepassctl $first $second");
    }
    like($tables, qr/^CREATE TABLE \Q$1\E \(/m, "table $1") while $code =~ /mariadb battlepass .*FROM (\w+)/g;
    like($routes, qr/ADMIN "\Q$1\E"/, "route $1") while $code =~ m{\$A(/\w+)}g;
    cmp_ok(scalar(() = $code =~ /battlepassctl/g), '>', 10, 'there are some');
};

# --- the dashboard ---

subtest 'the dashboard' => sub {
    is($dashboard->{schemaVersion}, 39, 'schema');
    is([ map { $_->{name} } @{ $dashboard->{templating}{list} } ], [qw(datasource job instance)], 'variables');
    my (%ids, %taken);
    for my $panel (@{ $dashboard->{panels} }) {
        my $at = $panel->{gridPos};
        ok(!$ids{ $panel->{id} }++, "panel $panel->{id} has a number of its own: $panel->{title}");
        ok(!(grep { $_ } map { my $x = $_; map { $taken{"$x $_"}++ } $at->{y} .. $at->{y} + $at->{h} - 1 } $at->{x} .. $at->{x} + $at->{w} - 1), 'and a place');
        cmp_ok($at->{x} + $at->{w}, '<=', 24, 'within the width');
    }
    for my $panel (@panels) {
        like($panel->{description}, qr/^[A-Z](?:(?!\. ).)*\.$/, "$panel->{title}: a sentence");
        like($panel->{fieldConfig}{defaults}{unit}, qr/^\w+$/, 'a unit');
        is($panel->{datasource}, { type => 'prometheus', uid => '${datasource}' }, 'the source that was chosen');
        like($_->{expr}, qr/\{job="\$job"/, 'the job that was chosen') for @{ $panel->{targets} };
        cmp_ok(length $_->{legendFormat}, '<=', 32, 'a short legend') for @{ $panel->{targets} };
    }
};

# As if they were recorded, with what Grafana puts in.
subtest 'promtool reads the expressions of the dashboard' => sub {
    my @asked = map { { record => 'panel:expression', expr => $_ } }
        map { s/\$__rate_interval/5m/gr } map { panel_expressions($_) } @panels;
    $_->{labels} = { number => "$_" } for @asked; # so that none is there twice
    my ($status, $said) = promtool('check', 'rules', write_json("$scratch/panels.json", { groups => [ { name => 'panels', rules => \@asked } ] }));
    is($status, 0, scalar(@asked) . ' expressions') or diag($said);
    $asked[0]{expr} .= ')';
    ($status) = promtool('check', 'rules', write_json("$scratch/panels.json", { groups => [ { name => 'panels', rules => \@asked } ] }));
    isnt($status, 0, 'it would say so where one is wrong');
};

subtest 'they are installed' => sub {
    my $makefile = slurp('Makefile.am');
    like($makefile, qr/\Q$_\E/, $_) for 'docs/alerts.md', glob('examples/prometheus/* examples/grafana/*');
};

done_testing;
